import type { Envelope } from '../envelope.js';
import { ShutdownError, toError } from '../errors.js';
import type { Receipt } from '../notifier.js';

/**
 * One receipt an envelope, in order, whatever the notifier answered: a missing or broken one is `retryable`, because
 * a notifier's bug must lose no job.
 */
export function matchReceipts(
  answer: unknown,
  sent: readonly Envelope[],
  notifier: string,
): readonly Receipt[] {
  const given = Array.isArray(answer) ? (answer as readonly (Partial<Receipt> | undefined)[]) : [];
  const inOrder = given.length === sent.length && sent.every(({ id }, index) => given[index]?.id === id);
  const byId = inOrder ? undefined : new Map(given.map((receipt) => [receipt?.id, receipt]));
  return sent.map((envelope, index) => {
    const receipt = byId ? byId.get(envelope.id) : given[index];
    return asReceipt(receipt) ?? missingReceipt(envelope, notifier);
  });
}

/** The same retryable receipt for each envelope. */
export function retryableReceipts(sent: readonly Envelope[], error: Error): readonly Receipt[] {
  return sent.map(({ id }) => ({ id, status: 'retryable', error }));
}

function asReceipt(receipt: Partial<Receipt> | undefined): Receipt | undefined {
  if (receipt?.status === 'delivered') return receipt as Receipt;
  if (receipt?.status !== 'retryable' && receipt?.status !== 'rejected') return undefined;
  const error = toError(receipt.error ?? `${receipt.status} without an error`);
  if (receipt.status === 'rejected') return { ...receipt, error } as Receipt;
  // NaN, say, from a header that was no number.
  const { retryAfterMs: asked } = receipt as { retryAfterMs?: number };
  const retryAfterMs = Number.isFinite(asked) ? (asked as number) : 0;
  return { ...receipt, error, retryAfterMs } as Receipt;
}

function missingReceipt({ id }: Envelope, notifier: string): Receipt {
  const error = new ShutdownError('DELIVERY_FAILED', `${notifier} gave no receipt for an envelope`);
  return { id, status: 'retryable', error };
}
