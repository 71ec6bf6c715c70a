import { createShutdownBus, type Logger, type ShutdownBus, type ShutdownBusOptions } from '../src/index.js';
import { createFakeClock, type FakeClock } from '../src/testing/fake-clock.js';
import { createFakeProcess, type FakeProcess } from '../src/testing/fake-process.js';
import { memoryNotifier } from '../src/testing/memory-notifier.js';
// What a bus loads in the background is loaded here ahead of time, so that no test waits for it.
import '../src/delivery.js';
import '../src/shutdown/exit.js';
import '../src/safekeeping/orphans.js';
import '../src/delivery/reporter.js';
import '../src/shutdown.js';
import { loadSerialisers } from '../src/safe-json.js';

await loadSerialisers();

/** A logger that keeps its lines. */
export interface LineLogger extends Logger {
  readonly lines: string[];
}

export function lineLogger(): LineLogger {
  const lines: string[] = [];
  const push = (line: string) => void lines.push(line);
  return { lines, info: push, warn: push, error: push };
}

export interface TestBus {
  readonly bus: ShutdownBus;
  readonly clock: FakeClock;
  readonly host: FakeProcess;
  readonly notifier: ReturnType<typeof memoryNotifier>;
  readonly lines: string[];
}

/** A bus with a clock that stands still, a process that cannot die, and a notifier that remembers. */
export function createTestBus(options: ShutdownBusOptions = {}): TestBus {
  const clock = createFakeClock();
  const host = createFakeProcess();
  const notifier = memoryNotifier();
  const logger = lineLogger();
  const bus = createShutdownBus({
    service: 'test-service',
    budgetMs: 10_000,
    notifiers: [notifier],
    clock,
    process: host,
    logger,
    ...options,
  });
  return { bus, clock, host, notifier, lines: logger.lines };
}

/** Lets everything happen that needs no time on the fake clock. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Moves the clock on in small steps, so that everything that is due has its turn before the next. */
export async function pass(clock: FakeClock, ms: number, stepMs = 50): Promise<void> {
  await settle();
  for (let left = ms; left > 0; left -= stepMs) {
    await clock.advance(Math.min(stepMs, left));
    await settle();
  }
}

/** A promise that never settles: a handler that hangs. */
export function never(): Promise<never> {
  return new Promise(() => {});
}
