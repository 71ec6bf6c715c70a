import type { Clock } from '../../src/clock.js';

/** When a worker that gives no sign of life gets which signal; all in milliseconds from its last one. */
export interface SilenceLimits {
  /** SIGABRT; 0: never. */
  readonly timeoutMs: number;
  /** SIGTERM on top; not smaller than `timeoutMs`. */
  readonly gracefulTimeoutMs?: number | undefined;
  /** SIGKILL, counted from when the last of them was sent. */
  readonly killGapMs: number;
}

/**
 * The two stages of a timeout, both counted from the beginning of the silence.
 *
 * ```
 * last beat      timeoutMs      gracefulTimeoutMs        + killGapMs
 *     |--------------|------------------|---------------------|
 *                 SIGABRT            SIGTERM               SIGKILL
 *                    |-- killGapMs --|
 *                                 SIGKILL, without a second stage
 * ```
 *
 * Once SIGABRT was sent the rest follows, whatever the worker says: it is on its way out, and has the gap to clean up.
 */
export class Silence {
  readonly #limits: SilenceLimits;
  readonly #clock: Clock;
  readonly #everyMs: number;
  #heardAt: number;
  #lookedAt: number;
  readonly #sent = new Map<NodeJS.Signals, number>();

  /** @param everyMs between two looks. */
  constructor(limits: SilenceLimits, clock: Clock, everyMs: number) {
    this.#limits = limits;
    this.#clock = clock;
    this.#everyMs = everyMs;
    this.#heardAt = clock.now();
    this.#lookedAt = clock.now();
  }

  /** Milliseconds since its last sign of life. */
  get ms(): number {
    return this.#clock.now() - this.#heardAt;
  }

  /** It gave a sign of life. */
  heard(): void {
    if (this.#sent.size === 0) this.#heardAt = this.#clock.now();
  }

  /** @returns the signal that is due now. */
  look(): NodeJS.Signals | undefined {
    this.#forgiveOurOwn();
    const due = this.#due();
    if (due !== undefined) this.#sent.set(due, this.#clock.now());
    return due;
  }

  #due(): NodeJS.Signals | undefined {
    const { timeoutMs, gracefulTimeoutMs, killGapMs } = this.#limits;
    if (timeoutMs === 0) return undefined;
    const stages: [NodeJS.Signals, number][] = [['SIGABRT', timeoutMs]];
    if (gracefulTimeoutMs !== undefined) stages.push(['SIGTERM', gracefulTimeoutMs]);
    for (const [signal, limitMs] of stages) {
      if (this.#sent.has(signal)) continue;
      return this.ms >= limitMs ? signal : undefined;
    }
    const [last] = stages.at(-1) as [NodeJS.Signals, number];
    // From when it was sent, not from when it was due: this process may have been late itself.
    const gapMs = this.#clock.now() - (this.#sent.get(last) as number);
    return gapMs >= killGapMs && !this.#sent.has('SIGKILL') ? 'SIGKILL' : undefined;
  }

  /** While this process did not run, it heard nobody: what has come meanwhile is not read yet. */
  #forgiveOurOwn(): void {
    const now = this.#clock.now();
    const lateMs = now - this.#lookedAt - this.#everyMs;
    this.#lookedAt = now;
    if (lateMs > this.#everyMs && this.#sent.size === 0)
      this.#heardAt = Math.min(now, this.#heardAt + lateMs);
  }
}
