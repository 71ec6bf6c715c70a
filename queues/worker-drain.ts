import { sleep } from '../src/clock.js';
import { messageOf } from '../src/errors.js';
import type { ShutdownBus, ShutdownContext } from '../src/index.js';
import { loggerOf } from '../src/logger.js';
import { replaceMethod } from '../src/replace-method.js';
import { ActiveJob, type JobHost, MovedToWait } from './active-job.js';
import { emptyTally, type WorkerCounts } from './counts.js';
import type { CallProcessor, ProcessJob, QueueJob, WorkerParts } from './worker.js';

/** A Redis that has not answered for so long is not waited for any more, in milliseconds. */
const ANSWER_MS = 1000;
/** The part of a step's time in which nothing is waited for any more, in milliseconds. */
const CLOSING_MS = 20;

/** What all steps of one worker's drain share: its active jobs, and where it stands. */
export class WorkerDrain {
  readonly worker: WorkerParts;
  readonly bus: ShutdownBus;
  readonly #host: JobHost;
  /** By the queue's own object of the job; by its id where that is not known. */
  readonly #active = new Map<QueueJob | string, ActiveJob>();
  readonly #declining = new Set<Promise<void>>();
  readonly #undo: (() => void)[] = [];
  #idle: (() => void) | undefined;
  #taking = true;
  #stopped = false;

  constructor(worker: WorkerParts, bus: ShutdownBus) {
    const { jobs } = bus;
    this.worker = worker;
    this.bus = bus;
    const log = loggerOf(bus);
    this.#host = { worker, registry: jobs, tally: emptyTally(), log };
    this.#undo.push(
      replaceMethod(worker, 'callProcessJob', (call): CallProcessor => {
        return (job, token, signal) => this.#call(call, job, token, signal);
      }),
      replaceMethod(worker, 'processJob', (process): ProcessJob => {
        return (job, ...rest) => process(job, ...rest).finally(() => this.#left(job));
      }),
      this.#listen(),
      this.#watchBus(),
    );
    void this.#adoptRunning();
  }

  get active(): number {
    return this.#active.size;
  }

  get counts(): WorkerCounts {
    return { ...this.#host.tally };
  }

  /** Calls `idle` as soon as no job is active. */
  whenIdle(idle: () => void): void {
    if (this.#active.size === 0) idle();
    else this.#idle = idle;
  }

  /** Takes no more jobs. */
  async pause(): Promise<void> {
    this.#taking = false;
    await this.worker.pause(true);
  }

  /** Gives back what is still active: its processor has had all the time there was. Settles before the context's end. */
  async giveBackRest({ signal, remainingMs }: ShutdownContext): Promise<void> {
    const back = Promise.all([
      ...[...this.#active.values()].map((job) => job.giveBack()),
      ...this.#declining,
    ]);
    const ms = Math.min(ANSWER_MS, remainingMs() - CLOSING_MS);
    if (await this.#within(back, ms, signal)) return;
    const stranded = [...this.#active.values()].filter((job) => job.strand()).length;
    this.#host.log.warn(
      `worker ${this.worker.name}: the queue did not answer in time, ${stranded} jobs may not have been given back`,
    );
  }

  /** Closes the worker without waiting for anybody. Settles before the context's end. */
  async close({ signal, remainingMs }: ShutdownContext): Promise<void> {
    // One that the application has begun itself waits for jobs, and cannot be told not to.
    const closed = this.worker.close(true);
    if (await this.#within(closed, Math.min(ANSWER_MS, remainingMs() - CLOSING_MS), signal)) return;
    this.#host.log.warn(`worker ${this.worker.name} is not closed: its close() waits for a job or for Redis`);
  }

  /** Gives the worker back as it was; its active jobs are none of the bus's any more. */
  dispose(): void {
    for (const undo of this.#undo.splice(0)) undo();
    for (const active of this.#active.values()) active.done();
    this.#active.clear();
  }

  /** Whether `work` settled in that time. @throws what it throws. */
  async #within(work: Promise<unknown>, ms: number, signal: AbortSignal): Promise<boolean> {
    const settled = new AbortController();
    const late = sleep(this.bus.config.clock, ms, AbortSignal.any([signal, settled.signal])).then(
      () => false,
    );
    try {
      return await Promise.race([work.then(() => true), late]);
    } finally {
      settled.abort();
    }
  }

  #call(
    call: CallProcessor,
    job: QueueJob,
    token: string,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    // Not there: attached to between its fetch and its start, or the bus takes no more jobs.
    const active = this.#active.get(job) ?? this.#track(job, job, token);
    if (active !== undefined) return active.work(call, signal);
    return this.#taking ? call(job, token, signal) : this.#decline(job, token);
  }

  /** It was fetched while the worker was told to pause: its processor does not get to see it. */
  async #decline(job: QueueJob, token: string): Promise<never> {
    const moved = this.#moveUntouched(job, token);
    this.#declining.add(moved);
    await moved;
    this.#declining.delete(moved);
    throw new MovedToWait(job);
  }

  async #moveUntouched(job: QueueJob, token: string): Promise<void> {
    const { tally, log } = this.#host;
    try {
      await job.moveToWait(token);
      tally.declined += 1;
    } catch (error) {
      tally.stranded += 1;
      log.warn(`job ${job.id} of ${this.worker.name} could not be given back: ${messageOf(error)}`);
    }
  }

  #track(key: QueueJob | string, job: QueueJob, token: string): ActiveJob | undefined {
    if (!this.#taking) return undefined;
    const active = new ActiveJob(job, token, this.#host, typeof key !== 'string');
    if (!active.begin()) return undefined;
    this.#active.set(key, active);
    return active;
  }

  #of(job: QueueJob | undefined): ActiveJob | undefined {
    return job && (this.#active.get(job) ?? this.#active.get(String(job.id)));
  }

  /** The queue has written down how it ended. */
  #ended(job: QueueJob | undefined, how: 'completed' | 'failed'): void {
    const active = this.#of(job);
    if (job === undefined || active === undefined) return;
    active.done();
    this.#forget(job);
    if (this.#stopped) this.#host.tally[how] += 1;
  }

  /** The worker is through with it, one way or another. */
  #left(job: QueueJob): void {
    this.#of(job)?.released();
    this.#forget(job);
  }

  #forget(job: QueueJob): void {
    if (!this.#active.delete(job)) this.#active.delete(String(job.id));
    if (this.#active.size === 0) this.#idle?.();
  }

  #listen(): () => void {
    const listeners: Readonly<Record<string, (job: QueueJob) => void>> = {
      active: (job) => void this.#track(job, job, tokenOf(job)),
      progress: (job) => this.#of(job)?.checkpoint(),
      completed: (job) => this.#ended(job, 'completed'),
      failed: (job) => this.#ended(job, 'failed'),
    };
    for (const [event, listener] of Object.entries(listeners)) this.worker.on(event, listener);
    return () => {
      for (const [event, listener] of Object.entries(listeners)) this.worker.off(event, listener);
    };
  }

  #watchBus(): () => void {
    const stopping = () => {
      this.#stopped = true;
      this.#host.tally.activeAtStop = this.active;
    };
    this.bus.on('stopping', stopping);
    return () => void this.bus.off('stopping', stopping);
  }

  /** Jobs that were active before: their processors are running, and only the queue knows what they are. */
  async #adoptRunning(): Promise<void> {
    const { lockManager, Job } = this.worker;
    const running = lockManager?.trackedJobs;
    if (running === undefined || Job === undefined) return;
    for (const [id, { token }] of [...running]) {
      const job = await Job.fromId(this.worker, id).catch(() => undefined);
      if (job && running.has(id) && this.#undo.length > 0) this.#track(id, job, token);
    }
  }
}

/** BullMQ sets it before it says that the job is active. */
function tokenOf(job: QueueJob): string {
  return String((job as { token?: string }).token);
}
