import type { Clock } from '../clock.js';
import { type Envelope, envelopeIdOf } from '../envelope.js';
import { messageOf } from '../errors.js';
import { DeliveryMarks } from '../jobs/delivery-marks.js';
import type { JobKeeper } from '../jobs/keeper.js';
import type { RecordBook } from '../jobs/record.js';
import type { Logger } from '../logger.js';
import type { DeliveryOutcome } from '../report.js';
import type { Orphan } from '../store.js';
import { type Letter, Scribe } from './orphan-scribe.js';

/** What the watch needs from its bus. */
export interface OrphanHost {
  readonly keeper: JobKeeper;
  readonly records: RecordBook;
  readonly clock: Clock;
  readonly log: Logger;
  /** Resolves when everything is loaded that a delivery needs. */
  ready(): Promise<void>;
  /** Hands envelopes to the notifiers; settles with their outcomes, in order. */
  deliver(envelopes: readonly Envelope[], plan: OrphanPlan): Promise<readonly DeliveryOutcome[]>;
}

/** The limits of one delivery. */
export interface OrphanPlan {
  readonly remainingMs: () => number;
  readonly signal: AbortSignal;
  /** Called with each envelope that every notifier took. */
  readonly onDelivered: (envelope: Envelope, truncated: boolean) => void;
}

const HEARTBEAT_MS = 2000;
/** How long a portion of orphans is tried before it is given back. */
const REPORT_MS = 30_000;
/** While nobody takes anything: from the first pause to the longest. */
const PAUSE_MS = { first: 2000, most: 60_000 } as const;
/** Tries that ended in the death of whoever tried. */
const MOST_TRIES = 3;
/** A process that is younger than this may die of anything: it takes nothing alone in hand, which others died with. */
const CALM_MS = 5000;
const HASTY_TRIES = 2;

/**
 * Keeps the store's heart beating, and reports what the dead left in it: at the start, and after each heartbeat.
 *
 * ```
 * claimOrphans ──▶ envelopes ──▶ notifiers ──▶ delivered: markDelivered
 *       ▲                                  ├─▶ nobody there: giveBack, after a pause again
 *       └──────────────────────────────────┴─▶ rejected: stays claimed, untried; the next start tries again
 * unreadable, or killed its reporter three times, the last time alone in a process that had lived for a while ──▶ setAside
 * ```
 */
export class OrphanWatch {
  readonly #host: OrphanHost;
  readonly #heartbeatMs: number;
  readonly #calmAt: number;
  readonly #stop = new AbortController();
  #timer: unknown;
  #reporting: Promise<void> | undefined;
  #ended = false;
  /** On the clock: no claim before then. */
  #notBefore = 0;
  #pauseMs: number = PAUSE_MS.first;
  /** Why the last look failed. */
  #trouble: string | undefined;
  /** Envelope ids of those that were to be set aside. */
  readonly #unreportable = new Set<string>();

  constructor(host: OrphanHost) {
    this.#host = host;
    this.#calmAt = host.clock.now() + CALM_MS;
    this.#heartbeatMs = host.keeper.store.heartbeatMs ?? HEARTBEAT_MS;
  }

  /** The first look is now. */
  start(): void {
    this.#look();
    this.#schedule();
  }

  /**
   * Looks now. Resolves when everything found has its outcome.
   * @param isLast also in a pause because nobody took anything: there is no later.
   */
  async look({ isLast = false } = {}): Promise<void> {
    // One that is under way may be beyond what has become an orphan since.
    await this.#reporting;
    if (isLast) this.#notBefore = 0;
    this.#look();
    await this.#reporting;
  }

  /** Takes no more; what is under way is given back. The heart goes on beating. */
  stop(): void {
    this.#stop.abort();
  }

  /** Ends everything. Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.stop();
    this.#ended = true;
    this.#host.clock.clearTimeout(this.#timer);
    await this.#reporting;
  }

  #schedule(): void {
    if (this.#ended) return;
    const { clock, keeper } = this.#host;
    this.#timer = clock.setTimeout(() => {
      void keeper.beat().then(() => this.#look());
      this.#schedule();
    }, this.#heartbeatMs);
    (this.#timer as { unref?: () => void }).unref?.();
  }

  #look(): void {
    const { clock, keeper } = this.#host;
    const busy = this.#reporting !== undefined || this.#stop.signal.aborted;
    if (busy || keeper.degraded !== undefined || clock.now() < this.#notBefore) return;
    this.#reporting = this.#reportAll()
      .catch((error: unknown) => this.#tellTrouble(messageOf(error)))
      .then(() => {
        this.#reporting = undefined;
      });
  }

  /** Once for each kind of it, not at each heartbeat. */
  #tellTrouble(message: string): void {
    if (message !== this.#trouble) this.#host.log.warn(`orphaned jobs cannot be looked for: ${message}`);
    this.#trouble = message;
  }

  async #reportAll(): Promise<void> {
    const { keeper, log, clock, ready } = this.#host;
    // Whoever dies while an SDK is loaded has tried nothing.
    await ready();
    const sum = { delivered: 0, rejected: 0, expired: 0 };
    while (!this.#stop.signal.aborted) {
      const isCalm = clock.now() >= this.#calmAt;
      const orphans = await keeper.store.claimOrphans(isCalm ? {} : { mostTries: HASTY_TRIES });
      // What could not even be set aside comes again at once.
      if (orphans.every((orphan) => this.#unreportable.has(orphanIdOf(orphan)))) break;
      const outcomes = await this.#report(orphans);
      for (const outcome of outcomes) sum[outcome] += 1;
      if (outcomes.length > 0 && outcomes.every((outcome) => outcome === 'expired')) {
        this.#notBefore = clock.now() + this.#pauseMs;
        this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MS.most);
        break;
      }
      this.#pauseMs = PAUSE_MS.first;
    }
    this.#trouble = undefined;
    const { delivered, rejected, expired } = sum;
    if (delivered + rejected + expired === 0) return;
    const later = expired > 0 ? `, ${expired} not taken, to be tried again` : '';
    const refused = rejected > 0 ? `, ${rejected} rejected, to be tried again at the next start` : '';
    log.warn(`reported ${delivered} jobs of processes that are gone${later}${refused}`);
  }

  async #report(orphans: readonly Orphan[]): Promise<readonly DeliveryOutcome[]> {
    const letters = await this.#write(orphans);
    if (letters.length === 0) return [];
    const outcomes = await this.#deliver(letters);
    const idsOf = (outcome: DeliveryOutcome) =>
      letters.filter((_, index) => outcomes[index] === outcome).map(({ envelope }) => envelope.id);
    await this.#giveBack(idsOf('expired'), { tried: false });
    // They killed nobody.
    await this.#giveBack(idsOf('rejected'), { tried: false, keep: true });
    return outcomes;
  }

  /** Never rejects: what went wrong is to be tried again. */
  async #deliver(letters: readonly Letter[]): Promise<readonly DeliveryOutcome[]> {
    const { keeper, clock, deliver, log } = this.#host;
    const endsAt = clock.now() + REPORT_MS;
    const parted = letters.filter((letter) => letter.withheld !== undefined);
    const withheld = new Set(parted.map(({ envelope }) => envelope.id));
    if (parted[0] !== undefined)
      log.error(
        `${parted.length} orphaned jobs are reported without what cannot be read, and their records kept aside: ${parted[0].withheld}`,
      );
    const marks = new DeliveryMarks(keeper);
    const plan: OrphanPlan = {
      remainingMs: () => Math.max(0, endsAt - clock.now()),
      signal: this.#stop.signal,
      onDelivered: ({ id }, truncated) => marks.add(id, truncated || withheld.has(id)),
    };
    try {
      const envelopes = letters.map(({ envelope }) => envelope);
      return await deliver(envelopes, plan);
    } catch (error) {
      log.error(`orphaned jobs could not be reported, to be tried again: ${messageOf(error)}`);
      return letters.map(() => 'expired');
    } finally {
      await marks.settle();
    }
  }

  async #giveBack(ids: readonly string[], options: { tried: boolean; keep?: boolean }): Promise<void> {
    const { keeper } = this.#host;
    if (ids.length > 0) await keeper.try(async () => keeper.store.giveBack?.(ids, options));
  }

  /** The envelopes of those that can be reported; the others are put where nobody stumbles over them again. */
  async #write(orphans: readonly Orphan[]): Promise<readonly Letter[]> {
    const letters: Letter[] = [];
    const scribe = new Scribe(this.#host);
    for (const orphan of orphans) {
      try {
        if (orphan.tries > MOST_TRIES) throw new Error(`whoever reported it died of it, ${MOST_TRIES} times`);
        letters.push(scribe.write(orphan));
      } catch (error) {
        await this.#setAside(orphanIdOf(orphan), messageOf(error));
      }
    }
    return letters;
  }

  async #setAside(id: string, why: string): Promise<void> {
    const { keeper, log } = this.#host;
    if (!this.#unreportable.has(id))
      log.error(`orphaned job ${id} is set aside in the store and not reported: ${why}`);
    this.#unreportable.add(id);
    await keeper.try(async () => keeper.store.setAside?.([id]));
  }
}

function orphanIdOf({ instanceId, key }: Orphan): string {
  return envelopeIdOf(instanceId, key);
}
