import type { Reporter, ReportOccasion } from '../delivery/reporter.js';
import type { JobHandle } from '../jobs/job-handle.js';
import type { NotifierReport } from '../report.js';
import type { Watchdog } from '../watchdog.js';
import type { SpokenFor } from './shared-memory.js';

/**
 * Reports these jobs, beside a thread that may be delivering them already, because the event loop was blocked:
 *
 * ```
 * the thread delivers          waits for it, counts what it delivered, delivers the rest
 * nobody does                  delivers
 *   … and is blocked, so that
 *   the thread takes over      leaves its own delivery, then as above
 * ```
 */
export async function deliverBeside(
  watchdog: Watchdog | undefined,
  reporter: Reporter,
  jobs: readonly JobHandle[],
  occasion: ReportOccasion,
): Promise<readonly NotifierReport[]> {
  if (watchdog === undefined) return (await reporter.report(jobs, occasion)).notifiers;
  if (jobs.length === 0) {
    // They finished by themselves: nobody needs to wait for their reports.
    watchdog.endTurn();
    return [];
  }
  const { overtaken } = watchdog;
  const first = await deliverRest(watchdog, reporter, jobs, {
    ...occasion,
    overtaken,
    progress: () => watchdog.beat(),
  });
  // The thread speaks once: what it leaves now is nobody's but ours.
  const goesOn = overtaken.aborted && first.left.length > 0;
  const second = goesOn ? await deliverRest(watchdog, reporter, first.left, occasion) : undefined;
  watchdog.endTurn();
  return merge([...first.notifiers, ...(second?.notifiers ?? [])]);
}

async function deliverRest(
  watchdog: Watchdog,
  reporter: Reporter,
  jobs: readonly JobHandle[],
  occasion: ReportOccasion,
) {
  const spoken = await watchdog.takeTurn(occasion.remainingMs);
  const voiced = jobs.filter((job) => watchdog.hasVoiced(job));
  const rest = voiced.length === 0 ? jobs : jobs.filter((job) => !watchdog.hasVoiced(job));
  const [result] = await Promise.all([
    reporter.report(rest, occasion),
    reporter.credit(voiced, occasion, {
      notifiers: whoTook(spoken),
      isTruncated: (job) => watchdog.hasVoicedPart(job),
    }),
  ]);
  const left = rest.filter((_, index) => result.outcomes[index] === 'expired');
  const own = occasion.overtaken?.aborted
    ? result.notifiers.map((report) => ({ ...report, expired: 0 }))
    : result.notifiers;
  return { left, notifiers: [...creditsOf(spoken, voiced.length), ...own] };
}

/** Who took each report, as far as it is known: when one of several did, only the thread knew which. */
function whoTook(spoken: SpokenFor | undefined): Readonly<Record<string, 'delivered'>> {
  const took = spoken?.notifiers.filter(({ delivered }) => delivered > 0) ?? [];
  const all = took.length === 1 || took.every(({ delivered }) => delivered === spoken?.delivered);
  return all ? Object.fromEntries(took.map(({ notifier }) => [notifier, 'delivered'])) : {};
}

/** What the thread's notifiers achieved, without what they left to ours. */
function creditsOf(spoken: SpokenFor | undefined, voiced: number): readonly NotifierReport[] {
  const reports = spoken?.notifiers ?? [];
  return reports.map((report) => ({
    ...report,
    delivered: Math.min(report.delivered, voiced),
    rejected: 0,
    expired: 0,
  }));
}

/** One report a notifier. */
function merge(reports: readonly NotifierReport[]): readonly NotifierReport[] {
  const merged = new Map<string, NotifierReport>();
  for (const report of reports) {
    const before = merged.get(report.notifier);
    merged.set(report.notifier, before ? sum(before, report) : report);
  }
  return [...merged.values()];
}

function sum(a: NotifierReport, b: NotifierReport): NotifierReport {
  const errors = new Map(a.errors.map(({ message, count }) => [message, count]));
  for (const { message, count } of b.errors) errors.set(message, (errors.get(message) ?? 0) + count);
  return {
    notifier: a.notifier,
    delivered: a.delivered + b.delivered,
    rejected: a.rejected + b.rejected,
    expired: a.expired + b.expired,
    attempts: a.attempts + b.attempts,
    errors: [...errors].map(([message, count]) => ({ message, count })),
  };
}
