import type { ShutdownConfig } from './config.js';
import type { Phase } from './phases.js';
import type { ShutdownReason } from './reason.js';

/** How a handler ended: `skipped` ones were never called (a quick shutdown leaves the drain phase out). */
export type HandlerOutcome = 'done' | 'failed' | 'timed-out' | 'skipped';

/** One handler of the run, built-in steps included. Times are milliseconds after the trigger. */
export interface HandlerReport {
  readonly name: string;
  readonly phase: Phase;
  readonly priority: number;
  readonly outcome: HandlerOutcome;
  readonly startedMs: number;
  readonly durationMs: number;
  /** Why it is `failed` or `timed-out`. */
  readonly error?: Error;
  /** File and line of the subscription, where the runtime tells. */
  readonly registeredAt?: string;
  /** Facts that the handler adds, such as a drained server's counts. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** One phase of the run. Times are milliseconds after the trigger. */
export interface PhaseReport {
  readonly phase: Phase;
  readonly startedMs: number;
  readonly durationMs: number;
}

/** How one envelope ended at one notifier, or over all of them: `expired` means that time was up before anybody took it. */
export type DeliveryOutcome = 'delivered' | 'rejected' | 'expired';

/** What one notifier achieved. */
export interface NotifierReport {
  readonly notifier: string;
  readonly delivered: number;
  readonly rejected: number;
  readonly expired: number;
  /** Calls of `deliver`. */
  readonly attempts: number;
  /** The different errors it met, each once, with how often. */
  readonly errors: readonly { readonly message: string; readonly count: number }[];
}

/** The jobs of the run in numbers. */
export interface JobCounts {
  /** Open when the trigger came. */
  readonly open: number;
  /** Begun between the trigger and the snapshot. */
  readonly begun: number;
  /** Finished between the trigger and the snapshot. */
  readonly finished: number;
  /** Not finished at the snapshot; the three below add up to it. */
  readonly incomplete: number;
  readonly delivered: number;
  readonly rejected: number;
  readonly expired: number;
}

/** What the shutdown did: the same object for every caller of `requestShutdown`. */
export interface ShutdownReport {
  readonly reason: ShutdownReason;
  readonly service: string;
  readonly instanceId: string;
  /** RFC 3339: when the trigger came. */
  readonly startedAt: string;
  readonly durationMs: number;
  readonly budgetMs: number;
  /** 0 everything finished or delivered · 1 something rejected, expired, failed or timed out, or a fatal error. */
  readonly exitCode: number;
  readonly phases: readonly PhaseReport[];
  readonly handlers: readonly HandlerReport[];
  readonly jobs: JobCounts;
  readonly notifiers: readonly NotifierReport[];
  /** Everything else that went wrong on the way: observers, late exceptions, notifiers that could not be loaded. */
  readonly errors: readonly Error[];
}

/** The report of a shutdown of which no step could be run: every open job is left to last words. */
export function reportWithoutRun(
  { config, instanceId }: { readonly config: ShutdownConfig; readonly instanceId: string },
  reason: ShutdownReason,
  { triggeredAt, open, errors }: { triggeredAt: number; open: number; errors: readonly Error[] },
): ShutdownReport {
  const { clock, service, budgetMs } = config;
  const durationMs = clock.now() - triggeredAt;
  return Object.freeze({
    reason,
    service,
    instanceId,
    startedAt: new Date(clock.wallTime() - durationMs).toISOString(),
    durationMs: Math.round(durationMs),
    budgetMs,
    exitCode: 1,
    phases: [],
    handlers: [],
    jobs: { open, begun: 0, finished: 0, incomplete: open, delivered: 0, rejected: 0, expired: open },
    notifiers: [],
    errors: [...errors],
  });
}
