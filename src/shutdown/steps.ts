import { openShare } from '../budget.js';
import type { ShutdownConfig } from '../config.js';
import type { Reporter, ReportOccasion } from '../delivery/reporter.js';
import { GracefulExit, Interrupt } from '../jobs/interrupt.js';
import type { JobHandle } from '../jobs/job-handle.js';
import type { OpenJobs } from '../jobs/registry.js';
import { INTERRUPT_PRIORITY, PHASE_PRIORITY, type ShutdownHandler, type Subscriber } from '../phases.js';
import { describeReason, reasonName, type ShutdownReason } from '../reason.js';
import type { DeliveryOutcome, NotifierReport } from '../report.js';

/** What the built-in steps work with. */
export interface StepParts {
  readonly config: ShutdownConfig;
  readonly registry: OpenJobs;
  readonly reporter: Reporter;
  /** Reports these jobs. */
  readonly deliver: (
    jobs: readonly JobHandle[],
    occasion: ReportOccasion,
  ) => Promise<readonly NotifierReport[]>;
  /** Nothing is waited for that might still finish by itself. */
  quick(): boolean;
  /** Aborts when that becomes so. */
  readonly hurried: AbortSignal;
  /** How long jobs have from their interruption to the snapshot. */
  interruptGraceMs(): number;
  /** The snapshot was taken, with so many jobs in it. */
  sealed(jobs: number): void;
  /** One job of the snapshot has its outcome. */
  reported(outcome: DeliveryOutcome): void;
  /** Delivery has ended. */
  delivered(notifiers: readonly NotifierReport[]): void;
}

/**
 * The steps every shutdown has, as subscribers like any other:
 *
 * ```
 * 200  finish open jobs      waits for them, as long as the drain lasts
 * 150  interrupt open jobs   aborts job.signal, waits interruptGraceMs at most
 * 100  report open jobs      snapshot, envelopes, notifiers
 * ```
 */
export function builtInSteps(parts: StepParts): readonly Subscriber[] {
  const { config, registry } = parts;
  return [
    step('finish open jobs', PHASE_PRIORITY.drain, 0, ({ signal }) => registry.idle(signal)),
    {
      ...step('interrupt open jobs', INTERRUPT_PRIORITY, config.interruptGraceMs, interruptJobs(parts)),
      essential: true,
    },
    step('report open jobs', PHASE_PRIORITY.deliver, config.reserveMs, reportJobs(parts)),
  ];
}

function step(name: string, priority: number, reserveMs: number, handler: ShutdownHandler): Subscriber {
  return {
    name,
    priority,
    handler,
    reserveMs,
    essential: false,
    timeoutMs: undefined,
    details: undefined,
    registeredAt: undefined,
  };
}

function interruptJobs({ config, registry, quick, hurried, interruptGraceMs }: StepParts): ShutdownHandler {
  return async ({ reason, signal, remainingMs }) => {
    // The drain may have ended early, while a job was begun late: what is left of it is still theirs.
    if (!quick()) {
      const either = AbortSignal.any([signal, hurried]);
      await idleWithin(config, registry, remainingMs() - interruptGraceMs(), either);
    }
    if (registry.size === 0) return;
    registry.interruptAll(interruptFor(reason));
    await idleWithin(config, registry, interruptGraceMs(), signal);
  };
}

async function idleWithin({ clock }: ShutdownConfig, registry: OpenJobs, ms: number, signal: AbortSignal) {
  const share = openShare(clock, ms, () => undefined);
  await registry.idle(AbortSignal.any([share.signal, signal]));
  share.release();
}

// Delivery ends a little before its share does, so that its last outcomes are in the report.
const SETTLE_MS = 25;

function reportJobs({
  registry,
  reporter,
  deliver,
  sealed,
  reported,
  delivered,
}: StepParts): ShutdownHandler {
  return async ({ reason, signal, remainingMs }) => {
    await reporter.earlyReports(remainingMs() / 2);
    const jobs = registry.seal();
    sealed(jobs.length);
    const occasion = {
      reason: reasonName(reason),
      remainingMs: () => Math.max(0, remainingMs() - SETTLE_MS),
      signal,
      tally: reported,
    };
    delivered(await deliver(jobs, occasion));
  };
}

/** SIGINT is a plain Interrupt; whatever is no signal aborts like the one that says so, SIGABRT. */
function interruptFor(reason: ShutdownReason): Interrupt {
  if (reason.kind !== 'signal')
    return new GracefulExit('SIGABRT', `interrupted by the shutdown (${describeReason(reason)})`);
  return reason.signal === 'SIGINT' ? new Interrupt('SIGINT') : new GracefulExit(reason.signal);
}
