import assert from 'node:assert/strict';
import { type Envelope, envelopeJson } from '../envelope.js';
import { messageOf } from '../errors.js';
import type { Notifier, Receipt } from '../notifier.js';
import type { NotifierHarness } from './notifier-conformance.js';
import { sampleEnvelope } from './sample-envelopes.js';

/** For a call that should be answered at once; less than the 5 s a test runner gives a test. */
export const ANSWER_MS = 4000;
/** For a call that should give up because its signal aborted. */
export const ABORT_MS = 1000;

/** What a call came to: its receipts, or what was thrown instead of them. */
export interface Answer {
  readonly receipts?: readonly Receipt[];
  readonly thrown?: unknown;
}

type Use = (notifier: Notifier) => Promise<void>;

/** A harness made convenient: each notifier is closed after its use, arrivals are sorted by id. */
export interface Trial {
  healthy(use: Use): Promise<void>;
  failing(use: Use): Promise<void>;
  hanging(use: Use): Promise<void>;
  /** By id, what arrived since the last look; waits for `count` of them. */
  arrived(count: number): Promise<ReadonlyMap<string, readonly Envelope[]>>;
  failedCalls(): number;
  readonly secrets: readonly string[];
}

/** Wraps a harness for the cases. */
export function createTrial(harness: NotifierHarness): Trial {
  const using = (make: () => Promise<Notifier>) => async (use: Use) => {
    const notifier = await make();
    try {
      await use(notifier);
    } finally {
      // Whether close behaves is the business of one case only.
      await within(ABORT_MS, 'close', async () => notifier.close?.()).catch(() => {});
    }
  };
  return {
    healthy: using(() => harness.healthy()),
    failing: using(() => harness.failing()),
    hanging: using(() => harness.hanging()),
    async arrived(count) {
      const byId = new Map<string, Envelope[]>();
      for (const envelope of await harness.received(count)) {
        byId.set(envelope.id, [...(byId.get(envelope.id) ?? []), envelope]);
      }
      return byId;
    },
    failedCalls: () => harness.failedCalls?.() ?? 0,
    secrets: harness.secrets ?? [],
  };
}

/** One call with a batch of its own. Never rejects; gives up waiting after `ms`. */
export async function deliver(
  notifier: Notifier,
  envelopes: readonly Envelope[],
  signal: AbortSignal = new AbortController().signal,
  ms: number = ANSWER_MS,
): Promise<Answer> {
  const call = () => notifier.deliver([...envelopes], { signal, attempt: 1 });
  try {
    return { receipts: await within(ms, 'deliver', async () => call()) };
  } catch (thrown) {
    return { thrown };
  }
}

/** Rejects when `work` has not settled in `ms`. */
export async function within<T>(ms: number, what: string, work: () => Promise<T>): Promise<T> {
  const pending = work();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not settle in ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([pending, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Fails unless every receipt is `delivered`. */
export function mustBeDelivered(answer: Answer, cure = 'return delivered for what the far end took'): void {
  for (const receipt of receiptsOf(answer)) {
    if (receipt.status === 'delivered') continue;
    assert.fail(
      `a call to a far end that works came back ${receipt.status}: ${messageOf(receipt.error)}; ${cure}`,
    );
  }
}

/** Fails unless every receipt is `retryable`, with an error. */
export function mustBeRetryable(answer: Answer, cure: string): void {
  for (const receipt of receiptsOf(answer)) {
    assert.equal(receipt.status, 'retryable', `an aborted call must come back retryable; ${cure}`);
  }
  mustHaveFailed(answer);
}

/** Fails unless every receipt carries an error that says something. */
export function mustHaveFailed(answer: Answer): void {
  for (const receipt of receiptsOf(answer)) {
    if (receipt.status === 'delivered')
      assert.fail('delivered was claimed for an envelope the far end did not take');
    const { error } = receipt;
    assert.ok(
      error instanceof Error && error.message !== '',
      'give the receipt an Error with a message: logs show it',
    );
  }
}

/** Fails unless each of `envelopes` arrived. */
export function mustHaveArrived(
  envelopes: readonly Envelope[],
  arrived: ReadonlyMap<string, readonly Envelope[]>,
): void {
  const missing = envelopes.filter(({ id }) => !arrived.has(id)).length;
  assert.equal(
    missing,
    0,
    `${missing} of ${envelopes.length} envelopes were said to be delivered and did not arrive`,
  );
}

/** Fails unless `work` resolves soon. */
export async function mustResolve(what: string, work: () => Promise<void> | undefined): Promise<void> {
  try {
    await within(ANSWER_MS, what, async () => work());
  } catch (error) {
    assert.fail(`${what} failed: ${messageOf(error)}; make it safe to call again`);
  }
}

/** The envelopes a call of this notifier may carry. */
export function batchSize({ maxBatchSize = 1 }: Notifier): number {
  return Math.max(1, maxBatchSize);
}

/** As many envelopes as one call of this notifier may carry, by number and by bytes. */
export function fullBatch(notifier: Notifier): readonly Envelope[] {
  const { maxBatchBytes = Number.POSITIVE_INFINITY } = notifier;
  const size = Buffer.byteLength(envelopeJson(sampleEnvelope()));
  const count = Math.max(1, Math.min(batchSize(notifier), Math.floor(maxBatchBytes / size)));
  return Array.from({ length: count }, () => sampleEnvelope());
}

function receiptsOf({ receipts, thrown }: Answer): readonly Receipt[] {
  if (Array.isArray(receipts) && receipts.length > 0) return receipts;
  return assert.fail(
    thrown === undefined
      ? 'deliver returned no receipts; return one for each envelope'
      : `deliver threw: ${messageOf(thrown)}; return a receipt for each envelope instead`,
  );
}
