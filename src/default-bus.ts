import { ShutdownBus } from './bus.js';
import type { ShutdownBusOptions } from './config.js';
import { ShutdownError } from './errors.js';
import type { Others } from './triggers/own-listener.js';

// One bus a process, even when two copies of the package are loaded.
const DEFAULT_BUS = Symbol.for('shutdown-bus.default');
const PROVISIONAL_BUS = Symbol.for('shutdown-bus.provisional');

interface Provisional {
  readonly bus: ShutdownBus;
  /** The application has configured another one in its place. */
  moved(bus: ShutdownBus): void;
}

const shared = globalThis as { [DEFAULT_BUS]?: ShutdownBus; [PROVISIONAL_BUS]?: Provisional | undefined };

/** The process-wide bus. Made at first use, not at import; that is also when its listeners are installed. */
export function defaultBus(): ShutdownBus {
  const bus = shared[DEFAULT_BUS];
  return bus ?? settle(shared[PROVISIONAL_BUS]?.bus ?? new ShutdownBus());
}

/** The bus of this process as it is now, whoever has made it; `undefined` before anybody has. */
export function currentBus(): ShutdownBus | undefined {
  return shared[DEFAULT_BUS] ?? shared[PROVISIONAL_BUS]?.bus;
}

/**
 * Makes the default bus with these options. Where the process was already told to end, it is the one that ends it.
 * @throws {ShutdownError} `ALREADY_CONFIGURED` when it is in use: call this before anything else.
 */
export function configureShutdown(options: ShutdownBusOptions): ShutdownBus {
  if (shared[DEFAULT_BUS] !== undefined) {
    throw new ShutdownError(
      'ALREADY_CONFIGURED',
      'the default bus is already in use; call configureShutdown once, before subscribeShutdown, requestShutdown or jobs',
    );
  }
  const provisional = shared[PROVISIONAL_BUS];
  // The end has begun: whoever comes now takes part in it, or there would be a second one.
  if (provisional !== undefined && provisional.bus.state !== 'running') return defaultBus();
  const bus = settle(new ShutdownBus(options));
  if (provisional !== undefined) {
    provisional.moved(bus);
    provisional.bus.dispose();
  }
  return bus;
}

/**
 * The default bus for somebody who acts in the application's place, before it has said what it wants: it may still configure its own.
 * @param moved called with that one, before the first is disposed.
 * @param others what the application listens for by itself.
 */
export function provisionalBus(moved: (bus: ShutdownBus) => void, others?: Others): ShutdownBus {
  if (shared[DEFAULT_BUS] !== undefined) return shared[DEFAULT_BUS];
  if (shared[PROVISIONAL_BUS] === undefined) {
    const bus = new ShutdownBus();
    bus.standIn(others);
    shared[PROVISIONAL_BUS] = { bus, moved };
  }
  return shared[PROVISIONAL_BUS].bus;
}

/** It stays. */
function settle(bus: ShutdownBus): ShutdownBus {
  bus.standIn(undefined);
  shared[DEFAULT_BUS] = bus;
  shared[PROVISIONAL_BUS] = undefined;
  return bus;
}
