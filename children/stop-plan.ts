import { type Clock, sleep } from '../src/clock.js';

/** How a child is ended. */
export interface StopOrder {
  /** Milliseconds until SIGKILL. */
  readonly timeoutMs: number;
  /** Somebody else has sent the signal already. */
  readonly signalled?: boolean;
}

/** The part of its time after which a child that somebody else was to signal gets the signal all the same. */
const DOUBT = 0.75;

/** When a child is asked to end, and when it is killed. Each order may only bring that forward. */
export class StopPlan {
  readonly #clock: Clock;
  #askAt = Number.POSITIVE_INFINITY;
  /** On that clock: the first order. */
  beganAt: number | undefined;
  /** On that clock. */
  killAt = Number.POSITIVE_INFINITY;
  #change = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  order({ timeoutMs, signalled = false }: StopOrder): void {
    const now = this.#clock.now();
    this.beganAt ??= now;
    this.#askAt = Math.min(this.#askAt, signalled ? now + timeoutMs * DOUBT : now);
    this.killAt = Math.min(this.killAt, now + timeoutMs);
    this.wake();
  }

  /** Ends the rest under way: something has changed. */
  wake(): void {
    this.#change.abort();
    this.#change = new AbortController();
  }

  get askInMs(): number {
    return this.#askAt - this.#clock.now();
  }

  get killInMs(): number {
    return this.killAt - this.#clock.now();
  }

  /** At most so long: it ends with every change. */
  rest(ms: number): Promise<void> {
    return sleep(this.#clock, ms, this.#change.signal);
  }
}
