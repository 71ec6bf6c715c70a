import { createClock } from '@sinonjs/fake-timers';
import type { Clock } from '../clock.js';

/** A {@link Clock} that stands still until told to move. */
export interface FakeClock extends Clock {
  /** Moves on by `ms` milliseconds; due callbacks run in order, promises settle in between. */
  advance(ms: number): Promise<void>;
  /** Moves on to the next due callback, if there is one. */
  next(): Promise<void>;
  /** How many callbacks are waiting. */
  readonly pending: number;
}

/** Makes a clock for tests. @param wallTime what `wallTime()` begins with, in milliseconds since 1970. @default 2030-01-01 */
export function createFakeClock(wallTime: number = Date.UTC(2030, 0, 1)): FakeClock {
  const clock = createClock(wallTime);
  return {
    now: () => clock.now - wallTime,
    wallTime: () => clock.now,
    setTimeout: (callback, ms) => clock.setTimeout(callback, ms),
    clearTimeout: (handle) => clock.clearTimeout(handle as number),
    advance: async (ms) => void (await clock.tickAsync(ms)),
    next: async () => void (await clock.nextAsync()),
    get pending() {
      return clock.countTimers();
    },
  };
}

/** Tells a clock made by {@link createFakeClock}. */
export function isFakeClock(clock: Clock): clock is FakeClock {
  return typeof (clock as Partial<FakeClock>).advance === 'function';
}
