import type { ShutdownConfig } from './config.js';
import type { DeliveryPlan, DeliveryResult } from './delivery.js';
import { createEnvelope, type Envelope, envelopeJson } from './envelope.js';
import { messageOf } from './errors.js';
import type { JobDelivery } from './events.js';
import type { JobHandle } from './jobs/job-handle.js';
import { writeLastResort } from './last-resort.js';
import type { Logger } from './logger.js';
import type { Notifier } from './notifier.js';
import { loadNotifier } from './notifier-loader.js';
import { createSerialiser, loadSerialisers } from './safe-json.js';

/** What the reporter needs from its bus. */
export interface ReporterHost {
  readonly config: ShutdownConfig;
  readonly instanceId: string;
  readonly log: Logger;
  /** A report was accepted: its job needs no record any more. */
  accepted(job: JobHandle): void;
  /** One job's outcome is known. */
  delivered(delivery: JobDelivery): void;
}

/** The time and the reason of a report. */
export interface ReportOccasion {
  readonly reason: string;
  readonly remainingMs: () => number;
  readonly signal?: AbortSignal;
}

/** Turns unfinished jobs into envelopes and sees them off: notifiers first, stderr as the last resort. */
export class Reporter {
  readonly #host: ReporterHost;
  readonly #serialise: (value: unknown) => string;
  #loaded: Promise<Loaded> | undefined;

  constructor(host: ReporterHost) {
    this.#host = host;
    this.#serialise = createSerialiser(host.config.redact);
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

  /** Reports these jobs until all are accepted or the time is up. Never throws. */
  async report(jobs: readonly JobHandle[], occasion: ReportOccasion): Promise<DeliveryResult> {
    if (jobs.length === 0) return { outcomes: [], notifiers: [] };
    const { config, log } = this.#host;
    const { notifiers, deliverEnvelopes } = await this.#load();
    const byEnvelope = new Map(jobs.map((job) => [this.envelopeOf(job, occasion.reason), job]));
    return deliverEnvelopes([...byEnvelope.keys()], {
      notifiers,
      mode: config.deliveryMode,
      clock: config.clock,
      random: Math.random,
      remainingMs: occasion.remainingMs,
      ...(occasion.signal && { signal: occasion.signal }),
      onOutcome: (delivery) => {
        if (delivery.outcome === 'delivered')
          this.#host.accepted(byEnvelope.get(delivery.envelope) as JobHandle);
        this.#host.delivered(delivery);
      },
      onError: (name, error, attempt) =>
        log.warn(`notifier ${name} failed, attempt ${attempt}: ${messageOf(error)}`),
    });
  }

  /** One line a job on stderr, at once, unless a durable store keeps them. */
  speakLast(jobs: Iterable<JobHandle>, reason: string): void {
    if (this.#host.config.store?.durable) return;
    writeLastResort([...jobs].map((job) => envelopeJson(this.envelopeOf(job, reason))));
  }

  /** The envelope of one unfinished job as of now. */
  envelopeOf(job: JobHandle, reason: string): Envelope {
    const { config, instanceId } = this.#host;
    const origin = { service: config.service, instanceId, serialise: this.#serialise };
    return createEnvelope(job, origin, {
      outcome: job.overran ? 'timed-out' : 'interrupted',
      reason: job.overran ? 'timeout' : reason,
      elapsedMs: job.elapsedMs,
      time: new Date(config.clock.wallTime()).toISOString(),
    });
  }

  /** Closes every notifier. Never throws. */
  async close(): Promise<void> {
    if (this.#loaded === undefined) return;
    const { notifiers } = await this.#loaded;
    await Promise.all(
      notifiers.map(async (notifier) => {
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

interface Loaded {
  readonly notifiers: readonly Notifier[];
  readonly deliverEnvelopes: (envelopes: readonly Envelope[], plan: DeliveryPlan) => Promise<DeliveryResult>;
}

async function loadDelivery({ notifiers, notifierSettings }: ShutdownConfig): Promise<Loaded> {
  const [loaded, { deliverEnvelopes }] = await Promise.all([
    notifiers ?? Promise.all(notifierSettings.map(loadNotifier)),
    import('./delivery.js'),
    loadSerialisers(),
  ]);
  return { notifiers: loaded, deliverEnvelopes };
}
