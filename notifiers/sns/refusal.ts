import type { Envelope } from '../../src/envelope.js';
import { isShutdownError, ShutdownError, toError } from '../../src/errors.js';
import type { Receipt } from '../../src/notifier.js';
import { NotRetried } from './line.js';

/** Who is asking could not be told: other than a missing permission, that can heal before the next try. */
const AUTHENTICATION =
  /(?:^|\.)(ExpiredToken|InvalidClientTokenId|UnrecognizedClient|RequestExpired|RequestTimeTooSkewed|SignatureDoesNotMatch|MissingAuthenticationToken|IncompleteSignature|AuthFailure|InvalidAccessKeyId)/;
const THROTTLED = /Throttl|TooManyRequests|RequestLimitExceeded|SlowDown/;
/** Refused as a whole, where one envelope of many can be the reason. */
const DIVISIBLE = /(?:^|\.)(BatchRequestTooLong|InvalidParameter|Validation|RequestEntityTooLarge)/;

interface SdkError {
  readonly name?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

/** The receipts of a batch that failed as a whole with `thrown`. */
export function refusals(batch: readonly Envelope[], thrown: unknown, topicArn: string): Receipt[] {
  const cause = thrown instanceof NotRetried ? thrown.thrown : thrown;
  const error = isShutdownError(cause) ? cause : failed(topicArn, describe(cause));
  const { name = '', $metadata } = (cause ?? {}) as SdkError;
  const status = $metadata?.httpStatusCode;
  const answered = status !== undefined && status >= 400 && status < 500 && status !== 408 && status !== 429;
  const final = answered && !AUTHENTICATION.test(name) && !THROTTLED.test(name);
  if (!final && !isShutdownError(cause, 'PACKAGE_MISSING'))
    return batch.map(({ id }) => ({ id, status: 'retryable', error }));
  const divisible = batch.length > 1 && (status === 413 || DIVISIBLE.test(name));
  return batch.map(({ id }) => ({ id, status: 'rejected', error, ...(divisible && { divisible }) }));
}

/** Name and first line. What AWS says about a bad signature repeats the request's headers: of that, the name only. */
export function describe(error: unknown): string {
  const { name = 'Error', message = '' } = toError(error);
  if (AUTHENTICATION.test(name)) return name;
  const line = (message.trim().split('\n', 1)[0] as string).slice(0, 300);
  return `${name}: ${line.replace(/\b(AKIA|ASIA)[A-Z0-9]{12,}/g, '[access key id]')}`;
}

/** What receipts carry. Without the SDK's error as its cause: that can take the request's credentials into a log. */
export function failed(topicArn: string, why: string): ShutdownError {
  return new ShutdownError('DELIVERY_FAILED', `SNS did not take a message for ${topicArn}: ${why}`);
}
