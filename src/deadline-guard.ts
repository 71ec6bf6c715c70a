import type { ShutdownConfig } from './config.js';
import { messageOf } from './errors.js';
import type { JobHandle } from './jobs/job-handle.js';
import type { OpenJobs } from './jobs/registry.js';
import { type Logger, logPrefix } from './logger.js';
import { type Held, Watchdog } from './watchdog.js';

/** What the guard needs from its run. */
export interface GuardParts {
  readonly config: ShutdownConfig;
  readonly instanceId: string;
  readonly registry: OpenJobs;
  readonly log: Logger;
  readonly remainingMs: () => number;
  /** The last words of these jobs. */
  readonly lines: (jobs: Iterable<JobHandle>) => Iterable<readonly [job: Held, line: string]>;
}

/** After so long the thread is started in any case, in milliseconds; at most a tenth of the budget. */
const IDLE_MS = 100;

/**
 * Sees to it that a {@link Watchdog} runs whenever code of the application does. A thread costs a fast end 15 to 50 ms, most of it
 * when the process ends while the thread still starts; an idle server is gone before it would be ready.
 *
 * ```
 * jobs or requests open, handlers, observers, other listeners on the process   at once
 * nothing but steps of our own                                                 after IDLE_MS, or with the first
 *                                                                              request, job or handler that comes
 * ```
 */
export class DeadlineGuard {
  readonly #parts: GuardParts;
  #watchdog: Watchdog | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  #waiting = false;

  constructor(parts: GuardParts) {
    this.#parts = parts;
  }

  /** @param idle whether no code of the application is known to be under way. */
  arm(idle: boolean): void {
    this.#waiting = true;
    if (!idle) {
      this.enforce();
      return;
    }
    const { budgetMs } = this.#parts.config;
    this.#timer = setTimeout(() => this.enforce(), Math.min(IDLE_MS, budgetMs / 10)).unref();
  }

  /** Code of the application is about to run: from here on the thread does, if this was armed. */
  enforce(): void {
    if (!this.#waiting) return;
    this.#waiting = false;
    clearTimeout(this.#timer);
    const { config, instanceId, registry, log, remainingMs, lines } = this.#parts;
    try {
      const prefix = logPrefix(config.service, instanceId);
      this.#watchdog = new Watchdog(remainingMs(), registry.size, prefix, (error) =>
        log.warn(`the watchdog thread failed: ${messageOf(error)}`),
      );
      this.#watchdog.hold(lines(registry));
    } catch (error) {
      log.warn(`the watchdog thread could not be given everything: ${messageOf(error)}`);
    }
  }

  jobBegun(job: JobHandle): void {
    // One that starts the thread is among those it is given then.
    if (this.#waiting) this.enforce();
    else this.#watchdog?.hold(this.#parts.lines([job]));
  }

  jobSettled(job: JobHandle): void {
    this.#watchdog?.settle(job);
  }

  /** The shutdown does not end the process. */
  disarm(): void {
    this.#waiting = false;
    clearTimeout(this.#timer);
    this.#watchdog?.disarm();
  }
}
