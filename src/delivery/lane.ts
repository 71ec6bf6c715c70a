import { openShare } from '../budget.js';
import { type Clock, sleep } from '../clock.js';
import type { EnvelopeList } from '../delivery.js';
import { completeEnvelope, type Envelope, envelopeBytes, truncateEnvelope } from '../envelope.js';
import { messageOf, ShutdownError, toError } from '../errors.js';
import type { Notifier, Receipt } from '../notifier.js';
import type { DeliveryOutcome, NotifierReport } from '../report.js';
import { matchReceipts, retryableReceipts } from './receipts.js';

/** The pauses between attempts of one batch: doubled each time, spread by half. */
export const BACK_OFF = { firstMs: 100, factor: 2, mostMs: 2000 } as const;

/** How long a notifier may take to settle after its signal aborted. */
const SETTLE_GRACE_MS = 50;
/** An attempt gets half of the time left, so that one that hangs leaves room for another; but no less than this. */
const SHORTEST_ATTEMPT_MS = 1000;
const DEFAULT_CONCURRENCY = 8;
/** Halvings of refused batches without one success in between, before a far end is believed to refuse everything. */
const MOST_DIVISIONS = 64;
const MOST_ERRORS = 20;

/** What a lane needs from the plan. */
export interface LanePlan {
  readonly clock: Clock;
  readonly random: () => number;
  readonly remainingMs: () => number;
  readonly onTruncated?: (index: number) => void;
  readonly onError?: (notifier: string, error: Error, attempt: number) => void;
}

interface Batch {
  readonly indexes: readonly number[];
  readonly attempt: number;
  /** On the clock: not before then. */
  readonly dueAt: number;
}

/**
 * One notifier's way through its envelopes: cuts them into batches and keeps `maxConcurrency` of them under way.
 *
 * ```
 * fresh ──▶ call ──▶ delivered | rejected ──▶ onOutcome(index, …)
 *   ▲        │
 *   └ later ◀┘ retryable: after a pause · refused as a whole: each half at once
 * ```
 */
export class DeliveryLane {
  readonly #notifier: Notifier;
  readonly #envelopes: EnvelopeList;
  readonly #indexes: readonly number[];
  readonly #plan: LanePlan;
  readonly #onOutcome: (index: number, outcome: DeliveryOutcome) => void;
  readonly #batchBytes: number;
  readonly #counts = { delivered: 0, rejected: 0, expired: 0 };
  readonly #errors = new Map<string, number>();
  /** By index: 1 when its outcome is known. */
  readonly #settled: Uint8Array;
  #unsettled: number;
  readonly #end = new AbortController();
  /** Batches that wait for another attempt. */
  readonly #later: Batch[] = [];
  /** The first envelope that was in no batch yet. */
  #position = 0;
  #attempts = 0;
  #divisions = 0;
  #wakers: (() => void)[] = [];

  /** @param indexes which of `envelopes` are this lane's. */
  constructor(
    notifier: Notifier,
    envelopes: EnvelopeList,
    indexes: readonly number[],
    plan: LanePlan,
    onOutcome: (index: number, outcome: DeliveryOutcome) => void,
  ) {
    this.#notifier = notifier;
    this.#envelopes = envelopes;
    this.#indexes = indexes;
    this.#plan = plan;
    this.#onOutcome = onOutcome;
    this.#batchBytes = notifier.maxBatchBytes || Number.POSITIVE_INFINITY;
    this.#settled = new Uint8Array(envelopes.length);
    this.#unsettled = indexes.length;
  }

  /** Settles when every envelope has its outcome, at the latest one turn after `expire`. */
  async run(): Promise<void> {
    const wanted = Math.max(1, this.#notifier.maxConcurrency || DEFAULT_CONCURRENCY);
    const workers = Math.min(wanted, this.#indexes.length);
    const done = Promise.all(Array.from({ length: workers }, () => this.#work()));
    await Promise.race([done, oneTurnAfter(this.#end.signal)]);
    for (const index of this.#indexes) this.#settle(index, 'expired');
  }

  /** Time is up: what has no outcome yet is `expired`. */
  expire(): void {
    this.#end.abort();
  }

  report(): NotifierReport {
    const errors = [...this.#errors].map(([message, count]) => ({ message, count }));
    return { notifier: this.#notifier.name, ...this.#counts, attempts: this.#attempts, errors };
  }

  async #work(): Promise<void> {
    while (this.#unsettled > 0 && !this.#end.signal.aborted) {
      const batch = this.#dueBatch() ?? this.#freshBatch();
      if (batch) await this.#attempt(batch);
      else await this.#untilSomethingIsDue();
    }
    this.#wake();
  }

  #dueBatch(): Batch | undefined {
    const now = this.#plan.clock.now();
    const due = this.#later.findIndex((batch) => batch.dueAt <= now);
    return due < 0 ? undefined : this.#later.splice(due, 1)[0];
  }

  #freshBatch(): Batch | undefined {
    const size = Math.max(1, this.#notifier.maxBatchSize || 1);
    const indexes: number[] = [];
    for (let bytes = 0; this.#position < this.#indexes.length && indexes.length < size; this.#position += 1) {
      const index = this.#indexes[this.#position] as number;
      if (this.#batchBytes < Number.POSITIVE_INFINITY) {
        bytes += envelopeBytes(this.#fitted(index));
        if (indexes.length > 0 && bytes > this.#batchBytes) break;
      }
      indexes.push(index);
    }
    return indexes.length === 0 ? undefined : { indexes, attempt: 1, dueAt: 0 };
  }

  async #attempt(batch: Batch): Promise<void> {
    this.#attempts += 1;
    const sent = batch.indexes.map((index) => this.#asWanted(this.#fitted(index)));
    const receipts = await this.#call(sent, batch.attempt);
    this.#noteErrors(receipts, batch.attempt);
    if (receipts.some(({ status }) => status === 'delivered')) this.#divisions = 0;
    if (this.#isDivisible(batch, receipts)) this.#divide(batch);
    else this.#sort(batch, receipts);
    this.#wake();
  }

  /** One call of the notifier, bounded, as one receipt an envelope. */
  async #call(sent: readonly Envelope[], attempt: number): Promise<readonly Receipt[]> {
    const { clock, remainingMs } = this.#plan;
    const { name } = this.#notifier;
    const left = remainingMs();
    const ms = Math.max(Math.min(left, SHORTEST_ATTEMPT_MS), left / 2);
    const share = openShare(clock, ms, () => failed(`${name} did not answer in ${Math.round(ms)} ms`));
    const stop = () => share.end(failed(`${name} did not answer before the deadline`));
    this.#end.signal.addEventListener('abort', stop, { once: true });
    try {
      const call = (async () => this.#notifier.deliver(sent, { signal: share.signal, attempt }))();
      const abandoned = aborted(share.signal).then(() => sleep(clock, SETTLE_GRACE_MS));
      const receipts = await Promise.race([call, abandoned]);
      return receipts
        ? matchReceipts(receipts, sent, name)
        : retryableReceipts(sent, toError(share.signal.reason));
    } catch (error) {
      return retryableReceipts(sent, toError(error));
    } finally {
      share.release();
      this.#end.signal.removeEventListener('abort', stop);
    }
  }

  /** Delivered and rejected envelopes are settled; the others wait for their next attempt. */
  #sort({ indexes, attempt }: Batch, receipts: readonly Receipt[]): void {
    const again: number[] = [];
    let retryAfterMs = 0;
    for (const [position, receipt] of receipts.entries()) {
      const index = indexes[position] as number;
      if (receipt.status !== 'retryable') {
        this.#settle(index, receipt.status);
        continue;
      }
      again.push(index);
      retryAfterMs = Math.max(retryAfterMs, receipt.retryAfterMs ?? 0);
    }
    if (again.length > 0) this.#postpone(again, attempt, retryAfterMs);
  }

  #postpone(indexes: readonly number[], attempt: number, retryAfterMs: number): void {
    const { clock, random, remainingMs } = this.#plan;
    // The far end wants to be left alone for longer than there is: nothing is gained by waiting for the end.
    if (retryAfterMs > 0 && retryAfterMs >= remainingMs()) {
      for (const index of indexes) this.#settle(index, 'expired');
      return;
    }
    const pause = Math.max(retryAfterMs, backOffMs(attempt, random()));
    this.#later.push({ indexes, attempt: attempt + 1, dueAt: clock.now() + pause });
  }

  /** The far end refused a batch as a whole: perhaps for one envelope's sake. */
  #isDivisible({ indexes }: Batch, receipts: readonly Receipt[]): boolean {
    const refused = receipts.every((receipt) => receipt.status === 'rejected' && receipt.divisible);
    return refused && indexes.length > 1 && this.#divisions < MOST_DIVISIONS;
  }

  #divide({ indexes, attempt }: Batch): void {
    this.#divisions += 1;
    const middle = Math.ceil(indexes.length / 2);
    for (const half of [indexes.slice(0, middle), indexes.slice(middle)]) {
      this.#later.push({ indexes: half, attempt: attempt + 1, dueAt: 0 });
    }
  }

  #settle(index: number, outcome: DeliveryOutcome): void {
    if (this.#settled[index] === 1) return;
    this.#settled[index] = 1;
    this.#unsettled -= 1;
    this.#counts[outcome] += 1;
    this.#onOutcome(index, outcome);
  }

  /** The envelope as this notifier takes it: without its payload when it is too large. */
  #fitted(index: number): Envelope {
    const envelope = this.#envelopes.at(index) as Envelope;
    if (this.#batchBytes === Number.POSITIVE_INFINITY) return envelope;
    if (envelopeBytes(envelope) <= this.#batchBytes) return envelope;
    this.#plan.onTruncated?.(index);
    return truncateEnvelope(envelope);
  }

  #asWanted(envelope: Envelope): Envelope {
    return this.#notifier.textOnly ? envelope : completeEnvelope(envelope);
  }

  #noteErrors(receipts: readonly Receipt[], attempt: number): void {
    const errors = new Set(
      receipts.map((receipt) => (receipt.status === 'delivered' ? undefined : receipt.error)),
    );
    for (const error of errors) {
      if (error === undefined) continue;
      const message = messageOf(error);
      const known = this.#errors.get(message);
      if (known === undefined) this.#plan.onError?.(this.#notifier.name, error, attempt);
      if (known !== undefined || this.#errors.size < MOST_ERRORS) this.#errors.set(message, (known ?? 0) + 1);
    }
  }

  /** Either a pause ends, or a call of another worker does and leaves something to do again. */
  async #untilSomethingIsDue(): Promise<void> {
    const changed = new AbortController();
    this.#wakers.push(() => changed.abort());
    const signal = AbortSignal.any([changed.signal, this.#end.signal]);
    const soonest = Math.min(...this.#later.map(({ dueAt }) => dueAt));
    if (soonest === Number.POSITIVE_INFINITY) await aborted(signal);
    else await sleep(this.#plan.clock, soonest - this.#plan.clock.now(), signal);
  }

  #wake(): void {
    const wakers = this.#wakers;
    this.#wakers = [];
    for (const waker of wakers) waker();
  }
}

/** The pause after attempt `attempt` failed, in milliseconds; `random` from 0 up to 1. */
export function backOffMs(attempt: number, random: number): number {
  const full = Math.min(BACK_OFF.mostMs, BACK_OFF.firstMs * BACK_OFF.factor ** (attempt - 1));
  return full / 2 + (full / 2) * random;
}

function failed(message: string): ShutdownError {
  return new ShutdownError('DELIVERY_FAILED', message);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Calls that settle on the abort still count. */
async function oneTurnAfter(signal: AbortSignal): Promise<void> {
  await aborted(signal);
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
