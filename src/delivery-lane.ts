import { openShare } from './budget.js';
import { type Clock, sleep } from './clock.js';
import { type Envelope, envelopeJson, truncateEnvelope } from './envelope.js';
import { messageOf, ShutdownError, toError } from './errors.js';
import type { Notifier, Receipt } from './notifier.js';
import type { DeliveryOutcome, NotifierReport } from './report.js';

/** The pauses between attempts of one batch: doubled each time, spread by half. */
export const BACK_OFF = { firstMs: 100, factor: 2, mostMs: 2000 } as const;

/** How long a notifier may take to settle after its signal aborted. */
const SETTLE_GRACE_MS = 50;
/** An attempt gets half of the time left, so that one that hangs leaves room for another; but no less than this. */
const SHORTEST_ATTEMPT_MS = 250;
const DEFAULT_CONCURRENCY = 8;
/** Halvings of refused batches without one success in between, before a far end is believed to refuse everything. */
const MOST_DIVISIONS = 64;
const MOST_ERRORS = 20;

/** What a lane needs from the plan. */
export interface LanePlan {
  readonly clock: Clock;
  readonly random: () => number;
  readonly remainingMs: () => number;
  readonly onError?: (notifier: string, error: Error, attempt: number) => void;
}

/** One notifier's way through its envelopes. */
export interface Lane {
  /** Settles when every envelope has its outcome. */
  run(): Promise<void>;
  /** Time is up: what has no outcome yet is `expired`. */
  expire(): void;
  report(): NotifierReport;
}

interface Batch {
  readonly indexes: readonly number[];
  readonly attempt: number;
  /** On the clock: not before then. */
  readonly dueAt: number;
}

/**
 * Cuts the envelopes at `indexes` into batches and keeps `maxConcurrency` of them under way:
 *
 * ```
 * fresh ──▶ call ──▶ delivered | rejected ──▶ onOutcome(index, …)
 *   ▲        │
 *   └ later ◀┘ retryable: after a pause · refused as a whole: each half at once
 * ```
 */
export function createLane(
  notifier: Notifier,
  envelopes: readonly Envelope[],
  indexes: readonly number[],
  plan: LanePlan,
  onOutcome: (index: number, outcome: DeliveryOutcome) => void,
): Lane {
  const { clock } = plan;
  const counts = { delivered: 0, rejected: 0, expired: 0 };
  const errors = new Map<string, number>();
  const unsettled = new Set(indexes);
  const later: Batch[] = [];
  const end = new AbortController();
  const size = Math.max(1, notifier.maxBatchSize ?? 1);
  const bytes = notifier.maxBatchBytes ?? Number.POSITIVE_INFINITY;
  let position = 0;
  let attempts = 0;
  let divisions = 0;
  let wake = () => {};

  function settle(index: number, outcome: DeliveryOutcome): void {
    if (!unsettled.delete(index)) return;
    counts[outcome] += 1;
    onOutcome(index, outcome);
  }

  function freshBatch(): Batch | undefined {
    const batch: number[] = [];
    let total = 0;
    while (position < indexes.length && batch.length < size) {
      const index = indexes[position] as number;
      const length = bytes === Number.POSITIVE_INFINITY ? 0 : sizeOf(envelopes[index] as Envelope, bytes);
      if (batch.length > 0 && total + length > bytes) break;
      batch.push(index);
      total += length;
      position += 1;
    }
    return batch.length === 0 ? undefined : { indexes: batch, attempt: 1, dueAt: 0 };
  }

  function nextBatch(): Batch | undefined {
    const now = clock.now();
    const due = later.findIndex((batch) => batch.dueAt <= now);
    return due >= 0 ? later.splice(due, 1)[0] : freshBatch();
  }

  async function work(): Promise<void> {
    while (unsettled.size > 0 && !end.signal.aborted) {
      const batch = nextBatch();
      if (batch) await attempt(batch);
      else await untilSomethingIsDue();
    }
    wake();
  }

  // Either a pause ends, or a call of another worker does and leaves something to do again.
  async function untilSomethingIsDue(): Promise<void> {
    const changed = new AbortController();
    const before = wake;
    wake = () => {
      changed.abort();
      before();
    };
    const soonest = Math.min(...later.map((batch) => batch.dueAt));
    const signal = AbortSignal.any([changed.signal, end.signal]);
    if (soonest === Number.POSITIVE_INFINITY) await aborted(signal);
    else await sleep(clock, soonest - clock.now(), signal);
  }

  async function attempt(batch: Batch): Promise<void> {
    attempts += 1;
    const sent = batch.indexes.map((index) => fitted(envelopes[index] as Envelope, bytes));
    const receipts = await callOnce(sent, batch.attempt);
    if (end.signal.aborted && unsettled.size === 0) return;
    const again: number[] = [];
    let retryAfterMs = 0;
    const refusedWhole =
      batch.indexes.length > 1 && receipts.every((one) => one.status === 'rejected' && one.divisible);
    for (const [position, receipt] of receipts.entries()) {
      const index = batch.indexes[position] as number;
      if (receipt.status === 'delivered') {
        divisions = 0;
        settle(index, 'delivered');
        continue;
      }
      if (position === 0 || receipt.error !== lastError(receipts, position))
        noteError(receipt.error, batch.attempt);
      if (receipt.status === 'retryable') {
        again.push(index);
        retryAfterMs = Math.max(retryAfterMs, receipt.retryAfterMs ?? 0);
      } else if (!refusedWhole || divisions >= MOST_DIVISIONS) settle(index, 'rejected');
    }
    if (refusedWhole && divisions < MOST_DIVISIONS) divide(batch);
    if (again.length > 0) postpone(again, batch.attempt, retryAfterMs);
    wake();
    wake = () => {};
  }

  function divide({ indexes: whole, attempt: number }: Batch): void {
    divisions += 1;
    const middle = Math.ceil(whole.length / 2);
    for (const half of [whole.slice(0, middle), whole.slice(middle)]) {
      later.push({ indexes: half, attempt: number + 1, dueAt: 0 });
    }
  }

  function postpone(again: readonly number[], attempt: number, retryAfterMs: number): void {
    const pause = Math.max(retryAfterMs, backOffMs(attempt, plan.random()));
    // The far end wants to be left alone for longer than there is: nothing is gained by waiting for the end.
    if (retryAfterMs > 0 && pause >= plan.remainingMs()) for (const index of again) settle(index, 'expired');
    else later.push({ indexes: again, attempt: attempt + 1, dueAt: clock.now() + pause });
  }

  async function callOnce(sent: readonly Envelope[], attempt: number): Promise<readonly Receipt[]> {
    const left = plan.remainingMs();
    const ms = Math.max(Math.min(left, SHORTEST_ATTEMPT_MS), left / 2);
    const share = openShare(clock, ms, () =>
      failed(`${notifier.name} did not answer in ${Math.round(ms)} ms`),
    );
    const stop = () => share.end(failed(`${notifier.name} did not answer before the deadline`));
    end.signal.addEventListener('abort', stop, { once: true });
    if (end.signal.aborted) stop();
    try {
      const call = (async () => notifier.deliver(sent, { signal: share.signal, attempt }))();
      const receipts = await Promise.race([
        call,
        aborted(share.signal).then(() => sleep(clock, SETTLE_GRACE_MS)),
      ]);
      return receipts
        ? matched(receipts, sent, notifier.name)
        : allRetryable(sent, toError(share.signal.reason));
    } catch (error) {
      return allRetryable(sent, toError(error));
    } finally {
      share.release();
      end.signal.removeEventListener('abort', stop);
    }
  }

  function noteError(error: Error, attempt: number): void {
    const message = messageOf(error);
    const known = errors.get(message);
    if (known !== undefined || errors.size < MOST_ERRORS) errors.set(message, (known ?? 0) + 1);
    if (known === undefined) plan.onError?.(notifier.name, error, attempt);
  }

  return {
    async run() {
      const workers = Math.max(1, notifier.maxConcurrency ?? DEFAULT_CONCURRENCY);
      await Promise.race([Promise.all(Array.from({ length: workers }, work)), settledAfter(end.signal)]);
      for (const index of [...unsettled]) settle(index, 'expired');
    },
    expire() {
      end.abort();
    },
    report: () => ({
      notifier: notifier.name,
      ...counts,
      attempts,
      errors: [...errors].map(([message, count]) => ({ message, count })),
    }),
  };
}

/** The pause after attempt `attempt` failed, in milliseconds; `random` from 0 up to 1. */
export function backOffMs(attempt: number, random: number): number {
  const full = Math.min(BACK_OFF.mostMs, BACK_OFF.firstMs * BACK_OFF.factor ** (attempt - 1));
  return full / 2 + (full / 2) * random;
}

function sizeOf(envelope: Envelope, limit: number): number {
  const length = Buffer.byteLength(envelopeJson(envelope));
  return length > limit ? Buffer.byteLength(envelopeJson(truncateEnvelope(envelope))) : length;
}

function fitted(envelope: Envelope, limit: number): Envelope {
  const fits = limit === Number.POSITIVE_INFINITY || Buffer.byteLength(envelopeJson(envelope)) <= limit;
  return fits ? envelope : truncateEnvelope(envelope);
}

/** One receipt an envelope, in order, whatever the notifier answered. */
function matched(receipts: readonly Receipt[], sent: readonly Envelope[], name: string): readonly Receipt[] {
  const list = Array.isArray(receipts) ? (receipts as readonly (Receipt | undefined)[]) : [];
  const inOrder = list.length === sent.length && sent.every(({ id }, index) => list[index]?.id === id);
  const byId = inOrder ? undefined : new Map(list.map((receipt) => [receipt?.id, receipt]));
  return sent.map((envelope, index) => {
    const receipt = byId ? byId.get(envelope.id) : list[index];
    if (receipt && isReceipt(receipt)) return receipt;
    return { id: envelope.id, status: 'retryable', error: failed(`${name} gave no receipt for an envelope`) };
  });
}

function isReceipt({ status }: Receipt): boolean {
  return status === 'delivered' || status === 'retryable' || status === 'rejected';
}

function allRetryable(sent: readonly Envelope[], error: Error): readonly Receipt[] {
  return sent.map(({ id }) => ({ id, status: 'retryable', error }));
}

function lastError(receipts: readonly Receipt[], position: number): Error | undefined {
  const receipt = receipts[position - 1];
  return receipt && receipt.status !== 'delivered' ? receipt.error : undefined;
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

/** One turn after the abort: calls that settle on it still count. */
async function settledAfter(signal: AbortSignal): Promise<void> {
  await aborted(signal);
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
