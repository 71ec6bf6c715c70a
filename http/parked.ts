import { AsyncResource } from 'node:async_hooks';
import type { Clock } from '../src/clock.js';
import { sleep } from '../src/clock.js';
import { turn } from './backlog.js';

/** How long nobody may have connected or been answered before the listener is closed, in milliseconds. */
const CALM_MS = 25;
/** How long that is waited for, in milliseconds: the most a parked request is late. */
const CALM_MOST_MS = 150;

/**
 * Requests that came while the listener was about to close; they are passed on as soon as it is.
 *
 * A client that is answered connects again, and between the last look at the kernel's queue and the close there is always
 * a moment in which it may. A client that waits for its answer does not:
 *
 * ```
 * answer ─▶ connect ─▶ answer ─▶ connect ─▶ ╳ closed in between: reset
 * answer ─▶ connect ─▶ parked ············· closed ─▶ answer
 * ```
 */
export class ParkedRequests {
  #waiting: (() => void)[] | undefined = undefined;

  /** Whether requests are to be parked now. */
  get open(): boolean {
    return this.#waiting !== undefined;
  }

  /** Keeps the request; it is passed on in the context it came in. */
  park(passOn: () => void): void {
    this.#waiting?.push(AsyncResource.bind(passOn));
  }

  /**
   * From here on requests are parked. Resolves when nobody has connected or been answered for {@link CALM_MS}: on a server where
   * that is so already after two turns of the event loop. Never rejects.
   * @param lastActivity when somebody last connected or was answered, on the clock
   */
  async untilCalm(clock: Clock, signal: AbortSignal, lastActivity: () => number): Promise<void> {
    const endsAt = clock.now() + CALM_MOST_MS;
    this.#waiting = [];
    for (;;) {
      // A loop that was blocked looks calm until it has seen what the kernel has for it: at the second turn surely.
      await turn();
      await turn();
      const now = clock.now();
      const calmMs = lastActivity() + CALM_MS - now;
      if (calmMs <= 0 || now >= endsAt || signal.aborted) return;
      await sleep(clock, Math.min(calmMs, endsAt - now), signal);
    }
  }

  /** Passes all of them on, in their order. What an application throws is its own process's error, as it always is. */
  release(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const passOn of waiting) process.nextTick(passOn);
  }
}
