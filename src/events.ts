import type { Envelope } from './envelope.js';
import type { Job } from './jobs/job.js';
import type { Phase } from './phases.js';
import type { ShutdownReason } from './reason.js';
import type { DeliveryOutcome, HandlerReport, PhaseReport, ShutdownReport } from './report.js';

/**
 * What a bus tells its observers, in the order of a run. Observation only: whatever an observer throws or rejects
 * with is logged and disturbs nothing.
 */
export interface ShutdownEvents {
  'job-begun': [job: Job];
  'job-finished': [job: Job];
  /** Stage one is the abort of `job.signal`, stage two the verdict that the job timed out. */
  'job-interrupted': [event: JobInterrupted];
  /** The trigger came. */
  stopping: [event: ShutdownStopping];
  /** What is left of the drain is cut short: to nothing by SIGQUIT, to what a usual budget has when SIGTERM ends the patience of another. */
  hurried: [event: { readonly drainMs: number }];
  'phase-started': [event: { readonly phase: Phase }];
  'phase-finished': [event: PhaseReport];
  'handler-started': [event: HandlerStarted];
  'handler-finished': [event: HandlerReport];
  /** One for each unfinished job, as soon as its report was accepted or given up. */
  delivery: [event: JobDelivery];
  stopped: [report: ShutdownReport];
  /** The durable store cannot keep records for now: a job would be lost with the process. */
  'store-failed': [event: { readonly error: Error }];
  /** It works again, and holds every open job. */
  'store-restored': [];
}

export interface ShutdownStopping {
  readonly reason: ShutdownReason;
  readonly budgetMs: number;
  /** Jobs open at the trigger. */
  readonly openJobs: number;
}

export interface HandlerStarted {
  readonly name: string;
  readonly phase: Phase;
  readonly priority: number;
}

export interface JobInterrupted {
  readonly job: Job;
  readonly stage: 'abort' | 'timed-out';
  /** The signal that a process would have got: SIGABRT for the first stage of a time limit, SIGTERM for the second. */
  readonly signal: NodeJS.Signals;
}

export interface JobDelivery {
  readonly envelope: Envelope;
  /** Over all notifiers: in mode `all` the worst, in mode `failover` the best. */
  readonly outcome: DeliveryOutcome;
  /** By notifier. */
  readonly notifiers: Readonly<Record<string, DeliveryOutcome>>;
}
