import { messageOf } from '../errors.js';
import type { ShutdownStopping } from '../events.js';
import type { Logger } from '../logger.js';
import { describeReason } from '../reason.js';
import type { HandlerReport, ShutdownReport } from '../report.js';

/** The trigger, and what it finds. A fatal error with its stack. */
export function logStopping(log: Logger, { reason, budgetMs, openJobs }: ShutdownStopping): void {
  log.info(`stopping: ${describeReason(reason)}, ${openJobs} jobs open, budget ${Math.round(budgetMs)} ms`);
  if (reason.kind === 'error' && reason.error instanceof Error)
    log.error(`${reason.origin}: ${stackOf(reason.error)}`);
}

/** Whatever somebody has made of it. */
function stackOf(error: Error): string {
  return typeof error.stack === 'string' ? error.stack : messageOf(error);
}

/** One line for a handler that did not simply succeed. */
export function logHandler(log: Logger, { name, outcome, durationMs, error }: HandlerReport): void {
  if (outcome === 'done') return;
  const why = error === undefined ? '' : `: ${messageOf(error)}`;
  // The error of an overrun says it all.
  const overran = outcome === 'timed-out' && error !== undefined;
  const line = overran ? messageOf(error) : `handler "${name}" ${outcome} after ${durationMs} ms${why}`;
  if (outcome === 'skipped') log.info(line);
  else log.error(line);
}

/** The end in a few lines: what became of the jobs, and the exit code with its reason; `others` is one from outside of this bus. */
export function logReport(log: Logger, report: ShutdownReport, others?: string): void {
  const { jobs, notifiers, durationMs, budgetMs, exitCode } = report;
  for (const { notifier, delivered, rejected, expired, attempts } of notifiers) {
    log.info(
      `notifier ${notifier}: ${delivered} delivered, ${rejected} rejected, ${expired} expired, ${attempts} calls`,
    );
  }
  log.info(
    `stopped: ${describeReason(report.reason)}, ${durationMs} of ${budgetMs} ms, ${jobs.finished} jobs finished, ` +
      `${jobs.incomplete} incomplete, ${jobs.delivered} delivered, exit code ${exitCode}${because(report, others)}`,
  );
}

function because({ exitCode, handlers, jobs, reason }: ShutdownReport, others?: string): string {
  if (exitCode === 0) return '';
  const names = handlers
    .filter(({ outcome }) => outcome === 'failed' || outcome === 'timed-out')
    .map(({ name, outcome }) => `handler "${name}" ${outcome}`);
  const lost = jobs.rejected + jobs.expired;
  if (lost > 0) names.push(`${lost} jobs rejected or expired`);
  if (reason.kind === 'error') names.push(reason.origin);
  if (others !== undefined) names.push(others);
  if (names.length === 0) names.push('an error that nobody caught during the shutdown');
  return ` because of ${names.join(', ')}`;
}
