import { messageOf } from '../src/errors.js';
import type { Job, JobRegistry, Logger } from '../src/index.js';
import type { WorkerTally } from './counts.js';
import type { CallProcessor, QueueJob, WorkerParts } from './worker.js';

/** What BullMQ takes as the news that a job is back in its queue: it then neither completes nor fails it. */
export class MovedToWait extends Error {
  override readonly name = 'WaitingError';

  constructor(job: QueueJob) {
    super(`job ${job.id} was given back to its queue by the shutdown`);
  }
}

/** What the jobs of one worker share. */
export interface JobHost {
  readonly worker: WorkerParts;
  readonly registry: JobRegistry;
  readonly tally: WorkerTally;
  readonly log: Logger;
}

/**
 * One job while a worker holds it, and its entry among the bus's jobs.
 *
 * ```
 *  active ──▶ completed, failed, delayed …     the entry is complete
 *    │ job.signal aborts
 *    ▼
 *  interrupted ──▶ completed                   the entry is complete
 *    │ its processor throws, or time is up
 *    ▼
 *  given back                                  the entry stays open and is reported
 * ```
 */
export class ActiveJob {
  readonly #job: QueueJob;
  readonly #token: string;
  readonly #host: JobHost;
  /** Its processor was called through {@link work}; not so if it ran before the worker was drained. */
  readonly #wrapped: boolean;
  #entry: Job | undefined = undefined;
  #interrupted = false;
  #returning: Promise<void> | undefined = undefined;
  /** Who has it, as far as we know. */
  #place: 'active' | 'queue' | 'nowhere' = 'active';
  #finish: () => void = () => {};
  #abandon: (reason: unknown) => void = () => {};

  constructor(job: QueueJob, token: string, host: JobHost, wrapped: boolean) {
    this.#job = job;
    this.#token = token;
    this.#host = host;
    this.#wrapped = wrapped;
  }

  /** Enters it among the bus's jobs. @returns false if the bus takes none any more. */
  begin(): boolean {
    const { worker } = this.#host;
    const id = `${worker.qualifiedName ?? worker.name}:${this.#job.id}`;
    // Taken: the job had stalled, and came to this process again while its first run goes on.
    if (!this.#enter(id)) this.#enter(`${id}~${this.#token}`);
    return this.#entry !== undefined;
  }

  /** How far it has come, for the report. */
  checkpoint(): void {
    const { progress } = this.#job;
    if (progress !== 0 && progress !== undefined) this.#entry?.checkpoint(progress);
  }

  /** Calls the processor; what it throws because it was interrupted gives the job back instead of failing it. */
  async work(call: CallProcessor, signal: AbortSignal | undefined): Promise<unknown> {
    if (this.#interrupted) return this.#leaveToQueue();
    try {
      // A processor with fewer than three parameters gets no signal from BullMQ, but may look at one.
      const result = await call(this.#job, this.#token, signal ?? this.#entry?.signal);
      if (this.#returning === undefined) return result;
    } catch (error) {
      if (this.#returning === undefined && (!this.#interrupted || isVerdict(error))) throw error;
    }
    return this.#leaveToQueue();
  }

  /** Puts it back into the queue, once. Never rejects. */
  giveBack(): Promise<void> {
    this.#returning ??= this.#moveToWait();
    return this.#returning;
  }

  /** Nobody waits for the queue's answer any more. @returns whether there was none. */
  strand(): boolean {
    if (this.#place !== 'active') return false;
    this.#place = 'nowhere';
    this.#host.tally.stranded += 1;
    return true;
  }

  /** The queue knows how it ended. */
  done(): void {
    this.#entry?.complete();
    this.#finish();
  }

  /** The worker has let go of it without an end: it went elsewhere by itself, or somebody else holds it. */
  released(): void {
    if (this.#interrupted) this.#abandon(this.#entry?.signal.reason);
    else this.done();
  }

  #enter(id: string): boolean {
    const { registry, worker } = this.#host;
    const { name, data: payload } = this.#job;
    registry
      .run({ id, type: name || worker.name, payload }, (entry) => {
        this.#entry = entry;
        this.checkpoint();
        if (entry.signal.aborted) this.#interrupt();
        else entry.signal.addEventListener('abort', () => this.#interrupt(), { once: true });
        return new Promise<void>((resolve, reject) => {
          this.#finish = resolve;
          this.#abandon = reject;
        });
      })
      .catch(() => {});
    return this.#entry !== undefined;
  }

  #interrupt(): void {
    const { worker } = this.#host;
    this.#interrupted = true;
    // First, so that what the processor throws then finds the job gone: nothing else stands between it and a failure.
    if (!this.#wrapped) void this.giveBack();
    const reason: unknown = this.#entry?.signal.reason;
    // Into another process only text goes.
    const told = worker.childPool === undefined ? reason : messageOf(reason);
    worker.cancelJob(String(this.#job.id), told as string);
  }

  async #leaveToQueue(): Promise<never> {
    await this.giveBack();
    throw new MovedToWait(this.#job);
  }

  async #moveToWait(): Promise<void> {
    const { log, tally, worker } = this.#host;
    this.checkpoint();
    // A processor that runs on would have its lock renewed, which is gone then: an 'error' for nothing.
    worker.lockManager?.untrackJob?.(String(this.#job.id));
    try {
      await this.#job.moveToWait(this.#token);
      if (this.#place === 'active') tally.givenBack += 1;
      this.#place = 'queue';
      log.info(`job ${this.#job.id} of ${worker.name} was given back to the queue`);
    } catch (error) {
      this.strand();
      log.warn(`job ${this.#job.id} of ${worker.name} could not be given back: ${messageOf(error)}`);
    }
    this.#abandon(this.#entry?.signal.reason);
  }
}

/** The processor has decided what becomes of the job, interrupted or not: BullMQ's own errors say so. */
function isVerdict(error: unknown): boolean {
  const { name, message } = Object(error) as Partial<Error>;
  const names = ['UnrecoverableError', 'DelayedError', 'WaitingError', 'WaitingChildrenError'];
  return names.includes(String(name)) || message === 'bullmq:rateLimitExceeded';
}
