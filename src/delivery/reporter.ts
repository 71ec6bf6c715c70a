import { sleep } from '../clock.js';
import type { ShutdownConfig } from '../config.js';
import type { DeliveryPlan, DeliveryResult, EnvelopeList } from '../delivery.js';
import { completeEnvelope, type Envelope, EnvelopeWriter } from '../envelope.js';
import { messageOf } from '../errors.js';
import type { JobDelivery } from '../events.js';
import type { JobHandle } from '../jobs/job-handle.js';
import type { Logger } from '../logger.js';
import type { Notifier } from '../notifier.js';
import type { DeliveryOutcome } from '../report.js';
import { createSerialiser, loadSerialisers } from '../safe-json.js';
import type { OrphanPlan } from '../safekeeping/orphans.js';
import { EnvelopesOnDemand, type FactsOf } from './envelopes-on-demand.js';
import { writeLastResort } from './last-resort.js';
import { loadNotifier } from './notifier-loader.js';

/** What the reporter needs from its bus. */
export interface ReporterHost {
  readonly config: ShutdownConfig;
  readonly instanceId: string;
  readonly log: Logger;
  /** A report was accepted: its job needs no record any more, but for a payload that was too large to go with it. */
  accepted(job: JobHandle, truncated: boolean): void;
  /** One job's outcome is known; the event is made for whoever wants it. */
  delivered(event: () => JobDelivery): void;
}

/** The time and the reason of a report. */
export interface ReportOccasion {
  readonly reason: string;
  readonly remainingMs: () => number;
  readonly signal?: AbortSignal;
  /** Called with each outcome. */
  readonly tally?: (outcome: DeliveryOutcome) => void;
  /** Called before each envelope is written. */
  readonly progress?: () => void;
  /** Somebody else delivers what has no outcome when this aborts. */
  readonly overtaken?: AbortSignal;
}

/** So many reports tell how large all of them are. */
const SAMPLE_SIZE = 32;

/** Turns unfinished jobs into envelopes and sees them off: notifiers first, stderr as the last resort. */
export class Reporter {
  readonly #host: ReporterHost;
  readonly #writer: EnvelopeWriter;
  readonly #early = new Set<Promise<DeliveryResult>>();
  #loaded: Promise<Loaded> | undefined;

  constructor(host: ReporterHost) {
    this.#host = host;
    const { service, redact } = host.config;
    this.#writer = new EnvelopeWriter({
      service,
      instanceId: host.instanceId,
      serialise: createSerialiser(redact),
    });
  }

  /** Loads the notifiers and warms them up in the background, so that the budget pays for neither. */
  async warmUp(): Promise<void> {
    const { notifiers } = await this.#load();
    await Promise.all(
      notifiers.map(async (notifier) => {
        try {
          await notifier.warmUp?.();
        } catch (error) {
          this.#host.log.warn(`notifier ${notifier.name} is not ready: ${messageOf(error)}`);
        }
      }),
    );
  }

  /** Resolves when everything is loaded that a delivery needs. */
  async ready(): Promise<void> {
    await this.#load();
  }

  /** Reports one job while the service goes on; a shutdown that comes meanwhile waits for it. */
  async reportEarly(job: JobHandle, occasion: ReportOccasion): Promise<DeliveryOutcome> {
    const report = this.report([job], occasion);
    this.#early.add(report);
    const { outcomes } = await report;
    this.#early.delete(report);
    return outcomes[0] ?? 'expired';
  }

  /** Resolves when no early report is under way, after `ms` at the latest: what it delivers need not go out twice. */
  async earlyReports(ms: number): Promise<void> {
    if (this.#early.size === 0) return;
    const time = new AbortController();
    const settled = Promise.allSettled(this.#early).then(() => time.abort());
    await Promise.race([settled, sleep(this.#host.config.clock, ms, time.signal)]);
  }

  /** Reports these jobs until all are accepted or the time is up. Never throws. */
  async report(jobs: readonly JobHandle[], occasion: ReportOccasion): Promise<DeliveryResult> {
    if (jobs.length === 0) return { outcomes: [], notifiers: [] };
    const { overtaken, remainingMs, reason, progress } = occasion;
    const factsOf = this.#factsAsOfNow(reason);
    const envelopes = new EnvelopesOnDemand(jobs, this.#writer, (job) => {
      progress?.();
      return factsOf(job);
    });
    const signals = [occasion.signal, overtaken].filter((signal) => signal !== undefined);
    const limits = { remainingMs, signal: AbortSignal.any(signals), left: () => overtaken?.aborted === true };
    return this.#deliver(envelopes, limits, (index, outcome, truncated) => {
      if (outcome === 'delivered') this.#host.accepted(jobs[index] as JobHandle, truncated);
      occasion.tally?.(outcome);
      envelopes.drop(index);
    });
  }

  /** Reports jobs that others left behind. Never throws. */
  async reportOrphans(envelopes: readonly Envelope[], plan: OrphanPlan): Promise<readonly DeliveryOutcome[]> {
    const { outcomes } = await this.#deliver(envelopes, plan, (index, outcome, truncated) => {
      if (outcome === 'delivered') plan.onDelivered(envelopes[index] as Envelope, truncated);
    });
    return outcomes;
  }

  async #deliver(
    envelopes: EnvelopeList,
    { remainingMs, signal, left }: DeliveryLimits,
    settled: (index: number, outcome: DeliveryOutcome, truncated: boolean) => void,
  ): Promise<DeliveryResult> {
    const { config, log, delivered } = this.#host;
    const { notifiers, deliverEnvelopes } = await this.#load();
    const truncated = new Set<number>();
    return deliverEnvelopes(envelopes, {
      notifiers,
      mode: config.deliveryMode,
      clock: config.clock,
      random: Math.random,
      remainingMs,
      signal,
      onOutcome: ({ index, outcome, notifiers }) => {
        if (outcome === 'expired' && left?.()) return;
        delivered(() => ({
          envelope: completeEnvelope(envelopes.at(index) as Envelope),
          outcome,
          notifiers: notifiers(),
        }));
        settled(index, outcome, truncated.has(index));
      },
      onTruncated: (index) => void truncated.add(index),
      onError: (name, error, attempt) =>
        log.warn(`notifier ${name} failed, attempt ${attempt}: ${messageOf(error)}`),
    });
  }

  /** Somebody else delivered the reports of these jobs. */
  credit(
    jobs: readonly JobHandle[],
    { reason, tally }: ReportOccasion,
    { notifiers, isTruncated }: Credit,
  ): void {
    const factsOf = this.#factsAsOfNow(reason);
    for (const job of jobs) {
      this.#host.accepted(job, isTruncated(job));
      tally?.('delivered');
      const envelope = () => completeEnvelope(this.#writer.write(job, factsOf(job)));
      this.#host.delivered(() => ({ envelope: envelope(), outcome: 'delivered', notifiers }));
    }
  }

  /** The JSON lines that would report these jobs now, one after the other. */
  *lines(jobs: Iterable<JobHandle>, reason: string): Generator<readonly [job: JobHandle, line: string]> {
    const factsOf = this.#factsAsOfNow(reason);
    for (const job of jobs) yield [job, this.#writer.text(job, factsOf(job))];
  }

  /** About how many bytes the reports of these jobs are, by a sample of them. */
  estimateBytes(jobs: Iterable<JobHandle> & { readonly size: number }): number {
    const every = Math.max(1, Math.floor(jobs.size / SAMPLE_SIZE));
    const sample = [...jobs].filter((_, index) => index % every === 0);
    const lengths = [...this.lines(sample, 'memory')].map(([, line]) => line.length);
    const sum = lengths.reduce((total, length) => total + length, 0);
    return sample.length === 0 ? 0 : (sum / sample.length) * jobs.size;
  }

  /** One line a job on stderr, at once. */
  speakLast(jobs: Iterable<JobHandle>, reason: string): void {
    const { process: host, logger } = this.#host.config;
    const lines = [...this.lines(jobs, reason)].map(([, line]) => line);
    // A process that a test injected must not write to that of the test.
    if (host === process) writeLastResort(lines);
    else for (const line of lines) logger.error(line);
  }

  #factsAsOfNow(reason: string): FactsOf {
    const { clock } = this.#host.config;
    const now = clock.now();
    const time = new Date(clock.wallTime()).toISOString();
    return (job) => ({
      outcome: job.overran ? 'timed-out' : 'interrupted',
      reason: job.overran ? 'timeout' : reason,
      elapsedMs: Math.max(0, Math.round(now - job.begunAt)),
      time,
    });
  }

  /** Closes every notifier. Never throws. */
  async close(): Promise<void> {
    // Without those that could not be loaded.
    const loaded = await this.#loaded?.catch(() => undefined);
    await Promise.all(
      (loaded?.notifiers ?? []).map(async (notifier) => {
        try {
          await notifier.close?.();
        } catch (error) {
          this.#host.log.warn(`notifier ${notifier.name} did not close: ${messageOf(error)}`);
        }
      }),
    );
  }

  /** Everything that is imported for a delivery, once. */
  #load(): Promise<Loaded> {
    this.#loaded ??= loadDelivery(this.#host.config);
    return this.#loaded;
  }
}

/** What somebody else did. */
export interface Credit {
  readonly notifiers: JobDelivery['notifiers'];
  /** Whether this job's payload did not go with its report. */
  readonly isTruncated: (job: JobHandle) => boolean;
}

interface DeliveryLimits {
  readonly remainingMs: () => number;
  readonly signal: AbortSignal;
  /** Whether what has no outcome yet is somebody else's business now. */
  readonly left?: () => boolean;
}

interface Loaded {
  readonly notifiers: readonly Notifier[];
  readonly deliverEnvelopes: (envelopes: EnvelopeList, plan: DeliveryPlan) => Promise<DeliveryResult>;
}

async function loadDelivery({ notifiers, notifierSettings }: ShutdownConfig): Promise<Loaded> {
  const [loaded, { deliverEnvelopes }] = await Promise.all([
    notifiers ?? Promise.all(notifierSettings.map(loadNotifier)),
    import('../delivery.js'),
    loadSerialisers(),
  ]);
  return { notifiers: loaded, deliverEnvelopes };
}
