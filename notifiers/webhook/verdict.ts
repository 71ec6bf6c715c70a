import { ShutdownError } from '../../src/errors.js';
import type { Receipt } from '../../src/notifier.js';

/** What a call came to, for every envelope of its batch. */
export type Verdict = Receipt extends infer R ? (R extends Receipt ? Omit<R, 'id'> : never) : never;

/** Longer pauses are of no use to a process that is about to end. */
const LONGEST_RETRY_AFTER_MS = 3_600_000;
/** Statuses that may be about one envelope of many. */
const DIVISIBLE = new Set([400, 413, 422]);
const RETRYABLE = new Set([408, 425, 429]);

/** Reads a verdict off a response's status and headers; `count` envelopes were sent. */
export function verdictOf(
  { status, headers }: { status: number; headers: Record<string, unknown> },
  origin: string,
  count: number,
): Verdict {
  if (status >= 200 && status < 300) return { status: 'delivered' };
  if (RETRYABLE.has(status) || status >= 500) {
    const retryAfterMs = retryAfter(String(headers['retry-after'] ?? ''), String(headers.date ?? ''));
    const error = failed(`${origin} answered ${status}`);
    return { status: 'retryable', error, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  }
  const hint = status < 400 ? '; redirects are not followed, set url to the final address' : '';
  const error = failed(`${origin} answered ${status}${hint}`);
  return { status: 'rejected', error, ...(count > 1 && DIVISIBLE.has(status) && { divisible: true }) };
}

/** `120` or a date, in milliseconds from now. The far end's own clock counts where it shows it. */
function retryAfter(value: string, date: string): number | undefined {
  if (!/^\d+$|^[A-Z][a-z]{2}/.test(value)) return undefined;
  const ms = /^\d/.test(value) ? Number(value) * 1000 : Date.parse(value) - (Date.parse(date) || Date.now());
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), LONGEST_RETRY_AFTER_MS);
}

/** No response: refused, reset, not resolved, not trusted. Names the code only. */
export function unreachable(url: URL, error: unknown): Error {
  const { code, name } = error as { code?: unknown; name?: unknown };
  const what = String(code ?? name);
  const hint = /CERT|SIGNATURE|ISSUER/.test(what)
    ? '; its certificate is not trusted here, see NODE_EXTRA_CA_CERTS'
    : '';
  return failed(`${url.origin} gave no answer: ${what}${hint}`);
}

/** No response before the signal aborted. */
export function abortedError(url: URL): Error {
  return failed(`${url.origin} gave no answer in time`);
}

/** An error for a receipt. */
export function failed(message: string): ShutdownError {
  return new ShutdownError('DELIVERY_FAILED', message);
}
