import { type Budget, openShare, type Share } from '../budget.js';
import type { Clock } from '../clock.js';
import { toError } from '../errors.js';
import type { JobView } from '../jobs/job.js';
import { phaseOf, type ShutdownContext, type Subscriber } from '../phases.js';
import type { ShutdownReason } from '../reason.js';
import type { HandlerOutcome, HandlerReport } from '../report.js';

/** What a group needs from the run. */
export interface PhaseRun {
  readonly clock: Clock;
  readonly budget: Budget;
  readonly reason: ShutdownReason;
  openJobs(): readonly JobView[];
  /** It is about to be called. */
  started(subscriber: Subscriber): void;
  /** The call has returned; its promise may still be open. */
  returned(): void;
  finished(report: HandlerReport, subscriber: Subscriber): void;
}

/** Handlers of equal priority while they run together. */
export interface Group {
  readonly reports: Promise<readonly HandlerReport[]>;
  /** Ends the time of those that can be left out, or of all; those that have not settled become `skipped`. */
  cut(which: 'dispensable' | 'all'): void;
}

const CUT = Symbol('cut short by a quick shutdown');

/**
 * Starts handlers of one priority together. Each is aborted when `shareMs` or its own `timeoutMs` is over and has one
 * turn of the event loop to settle after that; what has not settled then is left behind. Never throws.
 */
export function startGroup(group: readonly Subscriber[], shareMs: number, run: PhaseRun): Group {
  const shares = group.map((subscriber) => openHandlerShare(subscriber, shareMs, run));
  const reports = Promise.all(
    group.map((subscriber, index) => runHandler(subscriber, shares[index] as Share, run)),
  );
  return {
    reports,
    cut: (which) => {
      for (const [index, share] of shares.entries())
        if (which === 'all' || !group[index]?.essential) share.end(CUT);
    },
  };
}

/** The report of a handler that was never called. */
export function skipHandler(subscriber: Subscriber, run: PhaseRun): HandlerReport {
  const report = reportOf(subscriber, run.budget.elapsedMs(), 0, 'skipped');
  run.finished(report, subscriber);
  return report;
}

function openHandlerShare(subscriber: Subscriber, shareMs: number, run: PhaseRun): Share {
  const ms = Math.min(shareMs, subscriber.timeoutMs ?? Number.POSITIVE_INFINITY);
  return openShare(run.clock, ms, () => overrunError(subscriber, ms));
}

async function runHandler(subscriber: Subscriber, share: Share, run: PhaseRun): Promise<HandlerReport> {
  const startedMs = run.budget.elapsedMs();
  run.started(subscriber);
  const context: ShutdownContext = {
    reason: run.reason,
    signal: share.signal,
    remainingMs: share.remainingMs,
    get jobs() {
      return run.openJobs();
    },
  };
  const { outcome, error } = await Promise.race([settle(subscriber, context, run), leftBehind(share.signal)]);
  share.release();
  const durationMs = run.budget.elapsedMs() - startedMs;
  const report = reportOf(subscriber, startedMs, durationMs, outcome, error);
  run.finished(report, subscriber);
  return report;
}

interface Ending {
  readonly outcome: HandlerOutcome;
  readonly error?: Error;
}

async function settle({ handler }: Subscriber, context: ShutdownContext, run: PhaseRun): Promise<Ending> {
  const { signal } = context;
  const call = () => {
    try {
      return handler(context);
    } finally {
      run.returned();
    }
  };
  try {
    await call();
    return { outcome: 'done' };
  } catch (error) {
    if (!signal.aborted) return { outcome: 'failed', error: toError(error) };
    return endOf(signal);
  }
}

/** Resolves one turn of the event loop after the abort, so that a handler that listens to it can settle first. */
function leftBehind(signal: AbortSignal): Promise<Ending> {
  return new Promise((resolve) => {
    const leave = () => setImmediate(() => setImmediate(() => resolve(endOf(signal))));
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
  });
}

function endOf(signal: AbortSignal): Ending {
  return signal.reason === CUT
    ? { outcome: 'skipped' }
    : { outcome: 'timed-out', error: toError(signal.reason) };
}

/** A handler as logs name it. */
export function describeHandler({
  name,
  registeredAt,
}: Pick<HandlerReport, 'name' | 'registeredAt'> | Subscriber): string {
  return `handler "${name}"${registeredAt === undefined ? '' : ` (subscribed at ${registeredAt})`}`;
}

function overrunError(subscriber: Subscriber, ms: number): Error {
  return new Error(
    `${describeHandler(subscriber)} did not settle in ${Math.round(ms)} ms; it may ignore context.signal, or its time was too short`,
  );
}

function reportOf(
  { name, priority, registeredAt, details }: Subscriber,
  startedMs: number,
  durationMs: number,
  outcome: HandlerOutcome,
  error?: Error,
): HandlerReport {
  return Object.freeze({
    name,
    phase: phaseOf(priority),
    priority,
    outcome,
    startedMs: Math.round(startedMs),
    durationMs: Math.round(durationMs),
    ...(error && { error }),
    ...(registeredAt !== undefined && { registeredAt }),
    ...(details && { details: detailsOf(details) }),
  });
}

function detailsOf(details: () => Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  try {
    return details();
  } catch (error) {
    return { error: toError(error).message };
  }
}
