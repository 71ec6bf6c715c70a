import { type Clock, MAX_TIMER_MS } from '../clock.js';
import { misspelt, type OptionNames, ShutdownError, show } from '../errors.js';
import type { JobInterrupted } from '../events.js';
import type { Interrupt } from './interrupt.js';
import type { Job, JobOptions, JobRegistry } from './job.js';
import { JobHandle, type JobOwner, type JobState } from './job-handle.js';
import type { JobKeeper } from './keeper.js';

/** Whom the registry tells; all of it synchronously. */
export interface RegistryListener {
  jobBegun(job: Job): void;
  jobCheckpointed(job: JobHandle): void;
  /** A durable store has its record. */
  jobKept(job: JobHandle): void;
  jobFinished(job: Job): void;
  jobInterrupted(event: JobInterrupted): void;
  /** Its time limit passed or its work ended by it: report it now, the service goes on. */
  jobTimedOut(job: JobHandle): void;
  /** It was begun with options that do not exist, the first one with these. */
  jobMisspelt(job: JobHandle, problem: string): void;
}

/** Holds every open job of one bus, and the three moments of a shutdown: stopping, interrupt, seal. */
export class OpenJobs implements JobRegistry, JobOwner {
  readonly clock: Clock;
  stoppingReason: Error | undefined = undefined;
  interrupt: Interrupt | undefined = undefined;
  readonly #open = new Map<string, JobHandle>();
  readonly #listener: RegistryListener;
  readonly #keeper: JobKeeper | undefined;
  /** Ids that were reported while the service goes on: a receiver would take another report of one for a repetition. */
  readonly #reported = new ReportedIds();
  /** Keys of open jobs that are not their ids. */
  readonly #otherKeys = new Set<string>();
  /** Names of job options that do not exist, as far as they were told of. */
  readonly #misspelt = new Set<string>();
  #begun = 0;
  #sealed = false;
  /** Jobs of the snapshot that were forgotten since. */
  #forgotten = 0;
  /** Jobs whose work is still going on. */
  #working = 0;
  #idleWaiters: (() => void)[] = [];

  constructor(clock: Clock, listener: RegistryListener, keeper?: JobKeeper) {
    this.clock = clock;
    this.#listener = listener;
    this.#keeper = keeper;
  }

  get hasStore(): boolean {
    return this.#keeper !== undefined;
  }

  get size(): number {
    return this.#open.size - this.#forgotten;
  }

  /** How many jobs were ever begun here. */
  get begun(): number {
    return this.#begun;
  }

  *[Symbol.iterator](): Iterator<JobHandle> {
    for (const job of this.#open.values()) if (!job.forgotten) yield job;
  }

  begin(options: JobOptions): Job {
    if (this.#sealed) throw sealedError(options?.type);
    checkOptions(options);
    const id = this.#idFor(options);
    const key = options.id === undefined ? id : this.#keyFor(id);
    const job = new JobHandle(id, key, options, this);
    this.#open.set(id, job);
    this.#begun += 1;
    this.#working += 1;
    this.#keeper?.begun(job);
    this.#listener.jobBegun(job);
    if (!hasKnownNames(options)) this.#tellOfNames(job, options);
    return job;
  }

  async run<T>(options: JobOptions, work: (job: Job) => T | Promise<T>): Promise<T> {
    if (typeof work !== 'function')
      throw new ShutdownError(
        'INVALID_OPTION',
        `the work of job ${show(options?.type)} is ${show(work)}; allowed: a function, whose promise ends the job`,
      );
    const job = this.begin(options) as JobHandle;
    try {
      const result = await work(job);
      job.complete();
      return result;
    } catch (error) {
      job.fail(error);
      throw error;
    }
  }

  /** The shutdown has begun: every `job.stopping` aborts. */
  announce(reason: Error): void {
    this.stoppingReason = reason;
    for (const job of this.#open.values()) job.announce(reason);
  }

  /** Stop now: every `job.signal` aborts, and that of jobs begun from here on is aborted already. */
  interruptAll(interrupt: Interrupt): void {
    this.interrupt = interrupt;
    for (const job of [...this.#open.values()]) job.abort(interrupt);
  }

  /** The snapshot: what is open now is incomplete, and nothing more can be begun. */
  seal(): readonly JobHandle[] {
    this.#sealed = true;
    return [...this.#open.values()];
  }

  /** Its report was accepted: nobody needs the record any more. */
  forget(job: JobHandle): void {
    if (job.forgotten) return;
    job.forgotten = true;
    if (this.#sealed) {
      // Taking a hundred thousand out of a Map one by one would cost a tenth of their delivery.
      this.#forgotten += 1;
      return;
    }
    this.#open.delete(job.id);
    if (job.key !== job.id) this.#otherKeys.delete(job.key);
    if (job.state !== 'finished') this.#noteReported(job);
  }

  /** Resolves as soon as no job's work is going on, or when `signal` aborts. */
  idle(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (this.#working === 0 || signal.aborted) {
        resolve();
        return;
      }
      const finish = () => {
        signal.removeEventListener('abort', finish);
        this.#idleWaiters = this.#idleWaiters.filter((waiter) => waiter !== finish);
        resolve();
      };
      signal.addEventListener('abort', finish, { once: true });
      this.#idleWaiters.push(finish);
    });
  }

  settled(job: JobHandle, from: JobState): void {
    if (from === 'working') this.#working -= 1;
    if (job.state === 'finished') {
      this.forget(job);
      this.#keeper?.finished(job);
      this.#listener.jobFinished(job);
    } else if (job.overran && this.interrupt === undefined) {
      // Whatever becomes of its report: another job by that id is not to be taken for it.
      this.#noteReported(job);
      this.#listener.jobTimedOut(job);
    }
    if (this.#working === 0) for (const waiter of this.#idleWaiters) waiter();
  }

  checkpointed(job: JobHandle): void {
    this.#keeper?.checkpointed(job);
    this.#listener.jobCheckpointed(job);
  }

  kept(job: JobHandle): void {
    this.#listener.jobKept(job);
  }

  interrupted(job: JobHandle, stage: 'abort' | 'timed-out', signal: NodeJS.Signals): void {
    this.#listener.jobInterrupted({ job, stage, signal });
  }

  /** Once for each: a job is not refused for it, nor a log filled. */
  #tellOfNames(job: JobHandle, options: JobOptions): void {
    const unknown = Object.keys(options).filter((name) => !Object.hasOwn(NAMES, name));
    const fresh = unknown.filter((name) => !this.#misspelt.has(name));
    if (fresh.length === 0 || this.#misspelt.size >= MOST_MISSPELT) return;
    for (const name of fresh) this.#misspelt.add(name);
    this.#listener.jobMisspelt(job, misspelt(options, NAMES) as string);
  }

  #noteReported({ id, key }: JobHandle): void {
    this.#reported.add(id);
    if (key !== id) this.#reported.add(key);
  }

  #idFor(options: JobOptions): string {
    if (options.id !== undefined) {
      if (this.#open.has(options.id)) throw takenError(options);
      return options.id;
    }
    // An id somebody chose may look like a number of ours.
    let number = this.#begun + 1;
    while (this.#open.has(String(number)) || this.#reported.has(String(number))) number += 1;
    return String(number);
  }

  /** What the envelope is called by: the id, or another text where that was reported before, or is another job's key. */
  #keyFor(id: string): string {
    if (!this.#reported.mayHave(id) && !this.#otherKeys.has(id)) return id;
    let number = this.#begun + 1;
    let key = `${id}~${number}`;
    while (this.#open.has(key) || this.#otherKeys.has(key) || this.#reported.has(key)) {
      number += 1;
      key = `${id}~${number}`;
    }
    this.#otherKeys.add(key);
    return key;
  }
}

/** Remembers so many ids; of the others it only knows whether there were any. */
class ReportedIds {
  static readonly most = 10_000;
  readonly #ids = new Set<string>();
  #overflown = false;

  add(id: string): void {
    if (this.#ids.size < ReportedIds.most) this.#ids.add(id);
    else this.#overflown = true;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  mayHave(id: string): boolean {
    return this.#overflown || this.#ids.has(id);
  }
}

const NAMES: OptionNames<JobOptions> = {
  type: true,
  payload: true,
  id: true,
  timeoutMs: true,
  gracefulTimeoutMs: true,
};
const MOST_MISSPELT = 20;

/** Counted, not looked up: it is asked for every job. One that is `undefined` is looked up after all. */
function hasKnownNames(options: JobOptions): boolean {
  let left = 1;
  if (options.payload !== undefined) left += 1;
  if (options.id !== undefined) left += 1;
  if (options.timeoutMs !== undefined) left += 1;
  if (options.gracefulTimeoutMs !== undefined) left += 1;
  for (const _ in options) left -= 1;
  return left >= 0;
}

function checkOptions(options: JobOptions): void {
  if (typeof options?.type !== 'string' || options.type === '') {
    throw invalid('type', options?.type, 'a text that says what kind of job it is, such as "render"');
  }
  const { id, timeoutMs, gracefulTimeoutMs } = options;
  if (id !== undefined && (typeof id !== 'string' || id === '')) {
    throw invalid('id', id, 'a text that is not empty, or nothing at all for a number of its own');
  }
  if (timeoutMs === undefined && gracefulTimeoutMs === undefined) return;
  if (timeoutMs === undefined) {
    throw invalid(
      'gracefulTimeoutMs',
      gracefulTimeoutMs,
      'only together with timeoutMs, the first of the two stages',
    );
  }
  if (!isTimer(timeoutMs)) throw invalid('timeoutMs', timeoutMs, `milliseconds from 1 to ${MAX_TIMER_MS}`);
  if (gracefulTimeoutMs === undefined) return;
  if (!isTimer(gracefulTimeoutMs) || gracefulTimeoutMs <= timeoutMs) {
    throw invalid(
      'gracefulTimeoutMs',
      gracefulTimeoutMs,
      `milliseconds from the job's start, larger than timeoutMs ${timeoutMs}, at most ${MAX_TIMER_MS}`,
    );
  }
}

function isTimer(ms: unknown): ms is number {
  return typeof ms === 'number' && ms >= 1 && ms <= MAX_TIMER_MS;
}

function invalid(option: string, value: unknown, allowed: string): ShutdownError {
  return new ShutdownError('INVALID_OPTION', `job option ${option} is ${show(value)}; allowed: ${allowed}`);
}

function takenError({ id, type }: JobOptions): ShutdownError {
  return new ShutdownError(
    'JOB_ID_TAKEN',
    `job id ${JSON.stringify(id)} (${type}) belongs to a job that is still open; complete that one first, or leave id out`,
  );
}

function sealedError(type: unknown): ShutdownError {
  return new ShutdownError(
    'REGISTRY_SEALED',
    `job ${show(type)} came after the snapshot of the shutdown and would never be reported; refuse new work once job.stopping or bus.state says so`,
  );
}
