import type { Clock } from '../clock.js';
import { GracefulExit, type Interrupt, isInterruption } from './interrupt.js';
import type { Job, JobOptions } from './job.js';

/**
 * ```
 *            complete()
 *  working ─────────────▶ finished
 *     │ throws by interrupt: ended ─┐
 *     │ gracefulTimeoutMs:  timed-out ─▶ stays open until its report was accepted
 * ```
 */
export type JobState = 'working' | 'ended' | 'timed-out' | 'finished';

/** What a job tells the registry that owns it. */
export interface JobOwner {
  readonly clock: Clock;
  /** Whether jobs are kept anywhere but in memory. */
  readonly hasStore: boolean;
  /** The reason of `job.stopping` once the shutdown has begun. */
  readonly stoppingReason: Error | undefined;
  /** The reason of `job.signal` once open jobs have been interrupted. */
  readonly interrupt: Interrupt | undefined;
  settled(job: JobHandle, from: JobState): void;
  checkpointed(job: JobHandle): void;
  kept(job: JobHandle): void;
  interrupted(job: JobHandle, stage: 'abort' | 'timed-out', signal: NodeJS.Signals): void;
}

interface Timers {
  abort: unknown;
  verdict: unknown;
}

/** The registry's side of a {@link Job}. Everything dear is made on first use. */
export class JobHandle implements Job {
  readonly id: string;
  readonly key: string;
  readonly type: string;
  readonly payload: unknown;
  progress: unknown = undefined;
  /** On the owner's clock. */
  readonly begunAt: number;
  state: JobState = 'working';
  /** Cut off by its own time limit rather than by the shutdown. */
  overran = false;
  /** Its number at the watchdog, during a shutdown. */
  heldAs: number | undefined = undefined;
  /** Finished or reported: nobody needs its record any more. */
  forgotten = false;
  /** The store was given its record. */
  keeping = false;
  /** The record can no longer be lost by a kill of the process. */
  kept = false;
  #keptWaiters: (() => void)[] | undefined = undefined;
  readonly #owner: JobOwner;
  #stopping: AbortController | undefined = undefined;
  #stop: AbortController | undefined = undefined;
  #interrupt: Interrupt | undefined = undefined;
  #timers: Timers | undefined = undefined;

  constructor(id: string, key: string, options: JobOptions, owner: JobOwner) {
    this.id = id;
    this.key = key;
    this.type = options.type;
    this.payload = options.payload;
    this.#owner = owner;
    this.begunAt = owner.clock.now();
    if (options.timeoutMs !== undefined) this.#limit(options.timeoutMs, options.gracefulTimeoutMs);
  }

  get startedAt(): string {
    return wallTimeText(this.#owner.clock.wallTime() - this.elapsedMs);
  }

  get elapsedMs(): number {
    return Math.max(0, Math.round(this.#owner.clock.now() - this.begunAt));
  }

  get stopping(): AbortSignal {
    if (this.#stopping === undefined) {
      this.#stopping = new AbortController();
      if (this.#owner.stoppingReason) this.#stopping.abort(this.#owner.stoppingReason);
    }
    return this.#stopping.signal;
  }

  get signal(): AbortSignal {
    if (this.#stop === undefined) {
      this.#stop = new AbortController();
      const interrupt = this.#interrupt ?? this.#owner.interrupt;
      if (interrupt) this.#stop.abort(interrupt);
    }
    return this.#stop.signal;
  }

  get stored(): Promise<void> {
    if (this.kept || !this.#owner.hasStore) return Promise.resolve();
    return new Promise((resolve) => {
      this.#keptWaiters ??= [];
      this.#keptWaiters.push(resolve);
    });
  }

  checkpoint(progress: unknown): void {
    if (this.state === 'finished') return;
    this.progress = progress;
    this.#owner.checkpointed(this);
  }

  complete(): void {
    this.#settle('finished');
  }

  [Symbol.dispose](): void {
    this.complete();
  }

  /** Its record is safe, or needed no more. */
  markKept(): void {
    if (this.kept) return;
    this.kept = true;
    this.#owner.kept(this);
    for (const resolve of this.#keptWaiters ?? []) resolve();
    this.#keptWaiters = undefined;
  }

  /** The shutdown has begun. */
  announce(reason: Error): void {
    this.#stopping?.abort(reason);
  }

  /** Stage one: stop now. */
  abort(interrupt: Interrupt): void {
    if (this.state !== 'working' || this.#interrupt !== undefined) return;
    this.#interrupt = interrupt;
    this.#stop?.abort(interrupt);
    this.#owner.interrupted(this, 'abort', interrupt.signal);
  }

  /** The work threw: complete, or incomplete when the interruption is what it threw for. */
  fail(error: unknown): void {
    this.#settle(this.#causedByInterruption(error) ? 'ended' : 'finished');
  }

  #causedByInterruption(error: unknown): boolean {
    // Only work that looked at a signal can have been stopped by it. Whatever it throws after the abort counts:
    // reporting a job twice is better than losing it.
    if (this.#stop?.signal.aborted) return true;
    return (
      this.#stopping?.signal.aborted === true &&
      (error === this.#stopping.signal.reason || isInterruption(error))
    );
  }

  #settle(state: JobState): void {
    const from = this.state;
    if (from === 'finished' || (state !== 'finished' && from !== 'working')) return;
    this.state = state;
    this.#clearTimers();
    this.#owner.settled(this, from);
  }

  #limit(timeoutMs: number, gracefulTimeoutMs = timeoutMs + 2000): void {
    const { clock } = this.#owner;
    const abort = clock.setTimeout(() => {
      this.overran = true;
      this.abort(new GracefulExit('SIGABRT'));
    }, timeoutMs);
    const verdict = clock.setTimeout(() => {
      this.overran = true;
      this.#owner.interrupted(this, 'timed-out', 'SIGTERM');
      this.#settle('timed-out');
    }, gracefulTimeoutMs);
    this.#timers = { abort, verdict };
  }

  #clearTimers(): void {
    if (this.#timers === undefined) return;
    this.#owner.clock.clearTimeout(this.#timers.abort);
    this.#owner.clock.clearTimeout(this.#timers.verdict);
    this.#timers = undefined;
  }
}

let lastMs = Number.NaN;
let lastText = '';

/** Jobs often begin in bursts: the same millisecond gives the same text without making it again. */
function wallTimeText(ms: number): string {
  if (ms !== lastMs) {
    lastMs = ms;
    lastText = new Date(ms).toISOString();
  }
  return lastText;
}
