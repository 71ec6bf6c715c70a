import type { Clock } from './clock.js';
import { type Envelope, EnvelopeWriter, envelopeIdOf } from './envelope.js';
import { messageOf } from './errors.js';
import { DeliveryMarks } from './jobs/delivery-marks.js';
import type { JobKeeper } from './jobs/keeper.js';
import type { JobRecord, RecordBook } from './jobs/record.js';
import type { Logger } from './logger.js';
import { type OwnerAccount, readAccount, tellDeath } from './owner-account.js';
import type { DeliveryOutcome } from './report.js';
import type { Orphan } from './store.js';

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

/**
 * Keeps the store's heart beating, and reports what the dead left in it: at the start, and after each heartbeat.
 *
 * ```
 * claimOrphans ──▶ envelopes ──▶ notifiers ──▶ delivered: markDelivered
 *       ▲                                  ├─▶ nobody there: giveBack, after a pause again
 *       └──────────────────────────────────┴─▶ rejected: stays claimed, the next start tries again
 * unreadable, or killed its reporter three times ──▶ setAside
 * ```
 */
export class OrphanWatch {
  readonly #host: OrphanHost;
  readonly #heartbeatMs: number;
  readonly #stop = new AbortController();
  #timer: unknown;
  #reporting: Promise<void> | undefined;
  #ended = false;
  /** On the clock: no claim before then. */
  #notBefore = 0;
  #pauseMs: number = PAUSE_MS.first;

  constructor(host: OrphanHost) {
    this.#host = host;
    this.#heartbeatMs = host.keeper.store.heartbeatMs ?? HEARTBEAT_MS;
  }

  /** The first look is now. */
  start(): void {
    this.#look();
    this.#schedule();
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
      .catch((error: unknown) =>
        this.#host.log.warn(`orphaned jobs cannot be looked for: ${messageOf(error)}`),
      )
      .then(() => {
        this.#reporting = undefined;
      });
  }

  async #reportAll(): Promise<void> {
    const { keeper, log, clock, ready } = this.#host;
    // Whoever dies while an SDK is loaded has tried nothing.
    await ready();
    const sum = { delivered: 0, rejected: 0, expired: 0 };
    while (!this.#stop.signal.aborted) {
      const orphans = await keeper.store.claimOrphans();
      if (orphans.length === 0) break;
      const outcomes = await this.#report(orphans);
      for (const outcome of outcomes) sum[outcome] += 1;
      if (outcomes.length > 0 && !outcomes.includes('delivered')) {
        this.#notBefore = clock.now() + this.#pauseMs;
        this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MS.most);
        break;
      }
      this.#pauseMs = PAUSE_MS.first;
    }
    const { delivered, rejected, expired } = sum;
    if (delivered + rejected + expired === 0) return;
    const later = expired > 0 ? `, ${expired} not taken, to be tried again` : '';
    const refused = rejected > 0 ? `, ${rejected} rejected, to be tried again at the next start` : '';
    log.warn(`reported ${delivered} jobs of processes that are gone${later}${refused}`);
  }

  async #report(orphans: readonly Orphan[]): Promise<readonly DeliveryOutcome[]> {
    const { keeper, clock, deliver } = this.#host;
    const { store } = keeper;
    const letters = await this.#write(orphans);
    if (letters.length === 0) return [];
    const endsAt = clock.now() + REPORT_MS;
    const withheld = new Set(letters.filter((letter) => letter.withheld).map(idOf));
    const marks = new DeliveryMarks(keeper);
    const outcomes = await deliver(
      letters.map(({ envelope }) => envelope),
      {
        remainingMs: () => Math.max(0, endsAt - clock.now()),
        signal: this.#stop.signal,
        onDelivered: ({ id }, truncated) => marks.add(id, truncated || withheld.has(id)),
      },
    );
    await marks.settle();
    const left = letters.filter((_, index) => outcomes[index] === 'expired').map(idOf);
    if (left.length > 0) await store.giveBack?.(left, { tried: false });
    return outcomes;
  }

  /** The envelopes of those that can be reported; the others are put where nobody stumbles over them again. */
  async #write(orphans: readonly Orphan[]): Promise<readonly Letter[]> {
    const letters: Letter[] = [];
    const scribe = new Scribe(this.#host);
    for (const orphan of orphans) {
      const id = envelopeIdOf(orphan.instanceId, orphan.key);
      try {
        if (orphan.tries > MOST_TRIES) throw new Error(`whoever reported it died of it, ${MOST_TRIES} times`);
        letters.push(scribe.write(orphan));
      } catch (error) {
        this.#host.log.error(
          `orphaned job ${id} is set aside in the store and not reported: ${messageOf(error)}`,
        );
        await this.#host.keeper.store.setAside?.([id]);
      }
    }
    return letters;
  }
}

interface Letter {
  readonly envelope: Envelope;
  readonly withheld: boolean;
}

function idOf({ envelope }: Letter): string {
  return envelope.id;
}

/** Writes the envelopes of the dead, in their names. */
class Scribe {
  readonly #host: OrphanHost;
  readonly #writers = new Map<string, { readonly writer: EnvelopeWriter; readonly account: OwnerAccount }>();
  readonly #now: number;

  constructor(host: OrphanHost) {
    this.#host = host;
    this.#now = host.clock.wallTime();
  }

  /** @throws when the record cannot be read. */
  write({ instanceId, key, record, progress, owner }: Orphan): Letter {
    const job = this.#host.records.read(instanceId, key, record, progress);
    const { writer, account } = this.#writerFor(instanceId, owner);
    const detail = [tellDeath(account), job.withheld].filter((text) => text !== undefined).join('; ');
    const envelope = writer.write(job, {
      outcome: account.stopped ? 'interrupted' : 'lost',
      reason: account.stopped ?? 'lost',
      elapsedMs: this.#elapsedMs(job),
      time: new Date(this.#now).toISOString(),
      detail,
    });
    return { envelope, withheld: job.withheld !== undefined };
  }

  /** The clocks of two machines may differ. */
  #elapsedMs({ startedAt }: JobRecord): number {
    return Math.max(0, Math.round(this.#now - Date.parse(startedAt)));
  }

  #writerFor(instanceId: string, owner: string) {
    let known = this.#writers.get(instanceId);
    if (known === undefined) {
      const account = readAccount(owner);
      const { service, host, pid } = account;
      // The record's texts are JSON already.
      const serialise = (text: unknown) => text as string;
      known = { account, writer: new EnvelopeWriter({ service, instanceId, host, pid, serialise }) };
      this.#writers.set(instanceId, known);
    }
    return known;
  }
}
