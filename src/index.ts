import { ShutdownBus, type Subscription } from './bus.js';
import type { ShutdownBusOptions } from './config.js';
import { defaultBus } from './default-bus.js';
import type { JobRegistry } from './jobs/job.js';
import type { ShutdownHandler, SubscribeOptions } from './phases.js';
import type { ShutdownReport } from './report.js';

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

export { ShutdownBus, type Subscription } from './bus.js';
export { type Clock, systemClock } from './clock.js';
export { DEFAULTS, type ShutdownBusOptions, type ShutdownConfig } from './config.js';
export { configureShutdown, defaultBus } from './default-bus.js';
export type { DeliveryMode } from './delivery.js';
export type { ShutdownState } from './ending.js';
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
