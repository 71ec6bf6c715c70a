import type { ShutdownConfig } from '../config.js';
import { messageOf } from '../errors.js';
import type { JobHandle } from '../jobs/job-handle.js';
import type { OpenJobs } from '../jobs/registry.js';
import { type Logger, logPrefix } from '../logger.js';
import type { Subscriber } from '../phases.js';
import type { HandlerReport } from '../report.js';
import { describeHandler } from '../shutdown/handler-group.js';
import { type Held, Watchdog } from '../watchdog.js';
import { monotonicMs, type SpokenFor, type VoicePlan } from './shared-memory.js';

/** What the guard needs from its run. */
export interface GuardParts {
  readonly config: ShutdownConfig;
  readonly instanceId: string;
  readonly registry: OpenJobs;
  readonly log: Logger;
  readonly remainingMs: () => number;
  /** The last words of these jobs. */
  readonly lines: (jobs: Iterable<JobHandle>) => Iterable<readonly [job: Held, line: string]>;
  /** Whether a durable store has this job. */
  readonly isKept: (job: JobHandle) => boolean;
}

/** After so long the thread is started in any case, in milliseconds; at most a tenth of the budget. */
const IDLE_MS = 100;
/** So often, and with so many characters in all, jobs' last words are put right during a shutdown. */
const MOST_RENEWALS = { count: 1000, length: 2 ** 24 } as const;
/**
 * How long the event loop may be silent before the thread takes it for blocked: a fifth of the reserve, within these. While it
 * delivers a third, because then what is under way goes out twice: a busy machine and an SDK that loads look the same.
 */
const PATIENCE_MS = { least: 100, most: 250 } as const;
/** The thread's delivery ends a little before the reserve does, at most a fifth of it: a main thread that waits has to sum up. */
const SETTLE_MS = 60;

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
  readonly #renewals = { count: 0, length: 0 };
  /** Handlers under way, those that were left behind included: one of them may be what blocks the event loop. */
  #handlers: string[] = [];

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
      const leftMs = remainingMs();
      this.#watchdog = new Watchdog({
        remainingMs: leftMs,
        jobs: registry.size,
        prefix: logPrefix(config.service, instanceId),
        voice: planVoice(config, monotonicMs() + leftMs),
        failed: (error) => log.warn(`the watchdog thread failed: ${messageOf(error)}`),
        spoke: (spoken) => log.warn(describeSpoken(spoken)),
      });
      this.#watchdog.hold(lines(registry));
      this.#markKept(registry);
      if (this.#handlers.length > 0) this.#watchdog.running(this.#handlers, false);
    } catch (error) {
      log.warn(`the watchdog thread could not be given everything: ${messageOf(error)}`);
    }
  }

  /** The thread, once it runs. */
  get watchdog(): Watchdog | undefined {
    return this.#watchdog;
  }

  /** This handler of the application is about to be called. */
  handlerStarted(subscriber: Subscriber): void {
    this.#handlers.push(describeHandler(subscriber));
    this.#watchdog?.running(this.#handlers, true);
  }

  handlerReturned(): void {
    this.#watchdog?.returned();
  }

  handlerFinished(report: HandlerReport): void {
    const at = this.#handlers.indexOf(describeHandler(report));
    // One that overran is left behind, not stopped.
    if (at < 0 || report.outcome === 'timed-out') return;
    this.#handlers.splice(at, 1);
    this.#watchdog?.running(this.#handlers, false);
  }

  jobBegun(job: JobHandle): void {
    // One that starts the thread is among those it is given then.
    if (this.#waiting) this.enforce();
    else this.#hold(job);
  }

  /** It has come further than its last words say. */
  jobCheckpointed(job: JobHandle): void {
    const { count, length } = this.#renewals;
    if (!this.#watchdog || count >= MOST_RENEWALS.count || length >= MOST_RENEWALS.length) return;
    // Under another number it would not be recognised as delivered, and go out twice.
    if (this.#watchdog.speaking || this.#watchdog.hasVoiced(job)) return;
    const { heldAs } = job;
    for (const [, line] of this.#parts.lines([job])) {
      this.#renewals.count += 1;
      this.#renewals.length += line.length;
      this.#watchdog.hold([[job, line]]);
    }
    this.#markKept([job]);
    // Not before it has the new ones: said twice is better than not at all.
    this.#watchdog.settle({ heldAs });
  }

  /** A durable store has it now. */
  jobKept(job: JobHandle): void {
    if (this.#watchdog) this.#markKept([job]);
  }

  /** The store fails, or works again. */
  storeDoubted(doubtful: boolean): void {
    this.#watchdog?.doubt(doubtful);
  }

  /** Says last words without the thread in between. `false`: the thread says them, and ends the process. */
  takeFloor(): boolean {
    return this.#watchdog?.takeFloor() ?? true;
  }

  leaveFloor(): void {
    this.#watchdog?.leaveFloor();
  }

  jobSettled(job: JobHandle): void {
    this.#watchdog?.settle(job);
  }

  #hold(job: JobHandle): void {
    this.#watchdog?.hold(this.#parts.lines([job]));
    this.#markKept([job]);
  }

  #markKept(jobs: Iterable<JobHandle>): void {
    for (const job of jobs) if (this.#parts.isKept(job)) this.#watchdog?.keep(job);
  }

  /** The shutdown does not end the process. */
  disarm(): void {
    this.#waiting = false;
    clearTimeout(this.#timer);
    this.#watchdog?.disarm();
  }
}

/** When and how the thread delivers; not at all with notifiers that are objects of this thread. */
function planVoice(config: ShutdownConfig, deadlineAt: number): VoicePlan | undefined {
  const { notifiers, notifierSettings, deliveryMode, reserveMs, releaseReserveMs } = config;
  if (notifiers !== undefined || config.process !== process || reserveMs === 0) return undefined;
  const endsAt = deadlineAt - releaseReserveMs;
  const patienceMs = Math.min(PATIENCE_MS.most, Math.max(PATIENCE_MS.least, reserveMs / 5));
  return {
    speakAt: endsAt - reserveMs,
    endsAt: endsAt - Math.min(SETTLE_MS, reserveMs / 5),
    patienceMs,
    deliveringPatienceMs: Math.max(patienceMs, reserveMs / 3),
    settings: notifierSettings,
    mode: deliveryMode,
    // In Redis only the owner itself, or a claimer, may say what becomes of a job.
    store: config.storeSettings?.kind === 'lmdb' ? config.storeSettings : undefined,
    env: environment(),
  };
}

/** Without NODE_OPTIONS: what they preload would only take time. */
function environment(): VoicePlan['env'] {
  const env = { ...process.env };
  delete env.NODE_OPTIONS;
  return env;
}

function describeSpoken({ delivered, of, because }: SpokenFor): string {
  return `the watchdog thread delivered ${delivered} of ${of} open jobs, because ${because}`;
}
