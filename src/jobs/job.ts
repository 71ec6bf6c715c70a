import type { GracefulExit } from './interrupt.js';

/** What `begin` is told about a job. */
export interface JobOptions {
  /** What kind of work it is, as the receiver of a report knows it: `render`, `invoice.send`. */
  readonly type: string;
  /** What somebody needs to do the job again. Anything; read when it is reported, so later changes show. */
  readonly payload?: unknown;
  /** Unique among this process's open jobs. @default a counter */
  readonly id?: string;
  /** Milliseconds from the start until `job.signal` aborts. 1 to 2³¹−1. @default no limit */
  readonly timeoutMs?: number;
  /**
   * Milliseconds from the start, not from `timeoutMs`, until the job is declared timed out and reported.
   * Larger than `timeoutMs`. @default timeoutMs + 2000
   */
  readonly gracefulTimeoutMs?: number;
}

/** What may be seen of a job from outside. */
export interface JobView {
  readonly id: string;
  readonly type: string;
  readonly payload: unknown;
  /** The last checkpoint, `undefined` before the first. */
  readonly progress: unknown;
  /** RFC 3339. */
  readonly startedAt: string;
}

/** A piece of work that somebody would miss. Disposing it completes it. */
export interface Job extends JobView, Disposable {
  /** Aborted when the shutdown begins: finish soon, take nothing new. Created on first use. */
  readonly stopping: AbortSignal;
  /**
   * Aborted when the work must stop now: at its own `timeoutMs`, or in a shutdown `interruptGraceMs` before the snapshot.
   * The reason is a {@link GracefulExit}, after SIGINT a plain Interrupt. Created on first use: a job costs no
   * AbortController until asked.
   */
  readonly signal: AbortSignal;
  /**
   * Resolves when a kill of this process can no longer lose the job: with the LMDB store at once, with Redis when it has
   * the record. Also when the job was completed, and when there is no store. Never rejects; waits while the store is down.
   */
  readonly stored: Promise<void>;
  /** Remembers how far the work has come; the last value travels with the report. */
  checkpoint(progress: unknown): void;
  /** The work is done and nobody needs a report. Idempotent. */
  complete(): void;
}

/** The jobs of one bus. Iterating it gives those that are open. */
export interface JobRegistry extends Iterable<Job> {
  /**
   * Writes a job down as begun; from here on it is either completed or reported.
   * @throws {ShutdownError} `REGISTRY_SEALED` after the snapshot of a shutdown, `JOB_ID_TAKEN` for the id of an open
   * job, `INVALID_OPTION` for a bad option.
   */
  begin(job: JobOptions): Job;
  /**
   * Runs `work` as a job. It is complete when `work` returns and also when it throws, unless the throw comes from the
   * interruption: then the job is incomplete and will be reported.
   * @throws what `begin` throws, and what `work` throws.
   */
  run<T>(job: JobOptions, work: (job: Job) => T | Promise<T>): Promise<T>;
  /** How many jobs are open. */
  readonly size: number;
}
