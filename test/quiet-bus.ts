import { onTestFinished } from 'vitest';
import { createShutdownBus, type ShutdownBus, type ShutdownBusOptions } from '../src/index.js';

/** A bus with the real clock and the real process that hears nothing, says nothing, delivers nothing and ends nothing; until the test is over. */
export function quietBus(options: ShutdownBusOptions = {}): ShutdownBus {
  const logger = { info: () => {}, warn: () => {}, error: () => {} };
  const quiet = { exit: false, signals: [], fatalErrors: false, notifiers: [], logger } as const;
  const bus = createShutdownBus({ ...quiet, ...options });
  onTestFinished(() => bus.dispose());
  return bus;
}
