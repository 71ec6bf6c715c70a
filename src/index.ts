import { ShutdownBus, type Subscription } from './bus.js';
import type { ShutdownBusOptions } from './config.js';
import { ShutdownError } from './errors.js';
import type { JobRegistry } from './jobs/job.js';
import type { ShutdownHandler, SubscribeOptions } from './phases.js';
import type { ShutdownReport } from './report.js';

// One bus a process, even when two copies of the package are loaded.
const DEFAULT_BUS = Symbol.for('shutdown-bus.default');
const shared = globalThis as { [DEFAULT_BUS]?: ShutdownBus };

/** The process-wide bus. Made at first use, not at import; that is also when its listeners are installed. */
export function defaultBus(): ShutdownBus {
  shared[DEFAULT_BUS] ??= new ShutdownBus();
  return shared[DEFAULT_BUS];
}

/**
 * Makes the default bus with these options.
 * @throws {ShutdownError} `ALREADY_CONFIGURED` when it is in use: call this before anything else.
 */
export function configureShutdown(options: ShutdownBusOptions): ShutdownBus {
  if (shared[DEFAULT_BUS] !== undefined) {
    throw new ShutdownError(
      'ALREADY_CONFIGURED',
      'the default bus is already in use; call configureShutdown once, before subscribeShutdown, requestShutdown or jobs',
    );
  }
  shared[DEFAULT_BUS] = new ShutdownBus(options);
  return shared[DEFAULT_BUS];
}

/** An independent bus with its own jobs, handlers and listeners: for libraries and tests. */
export function createShutdownBus(options?: ShutdownBusOptions): ShutdownBus {
  return new ShutdownBus(options);
}

/** Calls `handler` when the default bus shuts down; see {@link ShutdownBus.subscribeShutdown}. */
export function subscribeShutdown(handler: ShutdownHandler, options?: SubscribeOptions): Subscription {
  return defaultBus().subscribeShutdown(handler, options);
}

/** Begins the shutdown of the default bus; see {@link ShutdownBus.requestShutdown}. */
export function requestShutdown(message?: string): Promise<ShutdownReport> {
  return defaultBus().requestShutdown(message);
}

/** The jobs of the default bus. */
export const jobs: JobRegistry = {
  begin: (job) => defaultBus().jobs.begin(job),
  run: (job, work) => defaultBus().jobs.run(job, work),
  get size() {
    return defaultBus().jobs.size;
  },
  [Symbol.iterator]: () => defaultBus().jobs[Symbol.iterator](),
};

export { ShutdownBus, type ShutdownState, type Subscription } from './bus.js';
export { type Clock, systemClock } from './clock.js';
export { DEFAULTS, type ShutdownBusOptions, type ShutdownConfig } from './config.js';
export type { DeliveryMode } from './delivery.js';
export { type Envelope, type EnvelopeData, envelopeJson, type JobOutcome } from './envelope.js';
export { isShutdownError, ShutdownError, type ShutdownErrorCode } from './errors.js';
export type {
  HandlerStarted,
  JobDelivery,
  JobInterrupted,
  ShutdownEvents,
  ShutdownStopping,
} from './events.js';
export { GracefulExit, type GuardOptions, guard, Interrupt } from './jobs/interrupt.js';
export type { Job, JobOptions, JobRegistry, JobView } from './jobs/job.js';
export type { Logger } from './logger.js';
export type { DeliverContext, Notifier, Receipt } from './notifier.js';
export {
  PHASE_PRIORITY,
  PHASES,
  type Phase,
  type ShutdownContext,
  type ShutdownHandler,
  type SubscribeOptions,
} from './phases.js';
export { detectPlatform, PLATFORMS, type Platform, type PlatformName } from './platform.js';
export type { ProcessLike } from './process-like.js';
export type { ShutdownReason } from './reason.js';
export type {
  DeliveryOutcome,
  HandlerOutcome,
  HandlerReport,
  JobCounts,
  NotifierReport,
  PhaseReport,
  ShutdownReport,
} from './report.js';
export type { ClaimOptions, JobStore, Orphan, StoredJob, StoreOwner, StoreOwnership } from './store.js';
export type { MemoryWatchOptions } from './triggers/memory.js';
