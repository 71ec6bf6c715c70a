import { syncBuiltinESMExports } from 'node:module';
import { type Clock as InstalledClock, install } from '@sinonjs/fake-timers';
import type { ShutdownBus } from '../bus.js';
import type { ShutdownReason } from '../reason.js';
import type { ShutdownReport } from '../report.js';
import { isFakeClock } from './fake-clock.js';

/** What happens to the bus, and when. */
export interface SimulationOptions {
  /** The signal that comes. @default 'SIGTERM' */
  readonly signal?: NodeJS.Signals;
  /** Any other reason, instead of a signal. */
  readonly reason?: ShutdownReason;
  /** Milliseconds of simulated time until it comes. @default 0 */
  readonly at?: number;
  /** The same as `at`. */
  readonly after?: number;
}

// Taken before anybody fakes it: turns of the real event loop let real promises and files settle.
const realSetImmediate = setImmediate;
const realNow = performance.now.bind(performance);

/** How long, in real milliseconds, file and name look-ups of a handler may take before simulated time moves on. */
const MOST_REAL_WAIT_MS = 5000;
const TURNS = 5;

/**
 * Runs a whole shutdown in simulated time: no signal is sent, nothing exits, nothing is waited for. Ten seconds of
 * budget take a few milliseconds.
 *
 * From the call until the report, `setTimeout`, `setInterval`, `Date` and `performance.now` are simulated for the
 * whole process, also in `node:timers/promises`; a bus with a clock from `createFakeClock` has that one moved
 * instead. Fake timers that a test framework has installed already are used as they are. Handlers should not wait for
 * real sockets meanwhile: simulated time does not wait for them.
 *
 * ```ts
 * const report = await simulateShutdown(bus, { signal: 'SIGTERM', after: 100 });
 * expect(report.exitCode).toBe(0);
 * ```
 */
export async function simulateShutdown(
  bus: ShutdownBus,
  options: SimulationOptions = {},
): Promise<ShutdownReport> {
  const reason: ShutdownReason = options.reason ?? { kind: 'signal', signal: options.signal ?? 'SIGTERM' };
  const time = takeTime(bus);
  try {
    await time.advance(options.at ?? options.after ?? 0);
    return await drive(bus.simulate(reason), time);
  } finally {
    time.giveBack();
  }
}

interface SimulatedTime {
  advance(ms: number): Promise<void>;
  next(): Promise<void>;
  pending(): number;
  giveBack(): void;
}

async function drive(run: Promise<ShutdownReport>, time: SimulatedTime): Promise<ShutdownReport> {
  let done = false;
  const finish = () => {
    done = true;
  };
  run.then(finish, finish);
  while (!done) {
    await realTurns();
    if (!done && time.pending() > 0) await time.next();
  }
  return run;
}

/** Lets everything happen that needs no time, real file and name look-ups included. */
async function realTurns(): Promise<void> {
  const startedAt = realNow();
  for (let quiet = 0; quiet < TURNS && realNow() - startedAt < MOST_REAL_WAIT_MS; quiet += 1) {
    await new Promise((resolve) => realSetImmediate(resolve));
    if (process.getActiveResourcesInfo().some((name) => /Req/.test(name))) quiet = 0;
  }
}

function takeTime(bus: ShutdownBus): SimulatedTime {
  const { clock } = bus.config;
  if (isFakeClock(clock)) {
    return { advance: clock.advance, next: clock.next, pending: () => clock.pending, giveBack: () => {} };
  }
  const installed = (globalThis.setTimeout as { clock?: InstalledClock }).clock;
  return installed ? timeOf(installed, () => {}) : installTime();
}

function installTime(): SimulatedTime {
  const clock = install({
    now: Date.now(),
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'],
  });
  // Not left to the library, whose performance.now would begin at 0 again: jobs know when they began.
  const [monotonic, wall] = [realNow(), clock.now];
  performance.now = () => monotonic + (clock.now - wall);
  // Whoever imported from `node:timers/promises` by name sees the change only after this.
  syncBuiltinESMExports();
  return timeOf(clock, () => {
    performance.now = realNow;
    clock.uninstall();
    syncBuiltinESMExports();
  });
}

function timeOf(clock: InstalledClock, giveBack: () => void): SimulatedTime {
  return {
    advance: async (ms) => void (await clock.tickAsync(ms)),
    next: async () => void (await clock.nextAsync()),
    pending: () => clock.countTimers(),
    giveBack,
  };
}
