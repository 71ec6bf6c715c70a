import type { JobHandle } from '../jobs/job-handle.js';
import type { JobKeeper } from '../jobs/keeper.js';
import type { Logger } from '../logger.js';
import type { Reporter } from './reporter.js';

/** Through whom last words are said. */
export interface LastSpeaker {
  readonly log: Logger;
  readonly reporter: Reporter;
  readonly keeper: JobKeeper | undefined;
}

/** Says of these jobs that nobody took their reports: a line of JSON each on stderr, but for those that a durable store keeps. */
export function sayLastWords(
  open: readonly JobHandle[],
  reason: string,
  { log, reporter, keeper }: LastSpeaker,
): void {
  const jobs = open.filter((job) => !keeper?.keeps(job));
  const kept = open.length - jobs.length;
  if (kept > 0)
    log.error(
      `${kept} open jobs not accepted by every notifier stay in the store ${keeper?.store.name}, for the next who looks`,
    );
  if (jobs.length === 0) return;
  log.error(`${jobs.length} open jobs not accepted by every notifier; one line each follows`);
  reporter.speakLast(jobs, reason);
}
