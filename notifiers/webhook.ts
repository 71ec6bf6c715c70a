import type { IncomingMessage } from 'node:http';
import { type Envelope, envelopeJson } from '../src/envelope.js';
import { messageOf, type OptionNames, refuseMisspelt } from '../src/errors.js';
import type { Notifier } from '../src/notifier.js';
import { connectOnce, createClient, createDrain } from './webhook/client.js';
import { checkedHeaders, checkedLimit, checkedName, checkedUrl } from './webhook/options.js';
import { createSigner } from './webhook/signer.js';
import { abortedError, failed, unreachable, type Verdict, verdictOf } from './webhook/verdict.js';

/** Where {@link webhookNotifier} posts to, and in what shape. */
export interface WebhookNotifierOptions {
  /** Absolute, http or https. Credentials in it become basic authentication. */
  readonly url: string | URL;
  /** Signs every request; base64, with or without `whsec_`. @default not signed */
  readonly secret?: string;
  /** Added to every request; a `content-type` here wins over the notifier's own. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Envelopes a POST, from 1. With 1 the body is one event, not an array. @default 500 */
  readonly maxBatchSize?: number;
  /**
   * Bytes of envelopes a POST, from 1024; a larger envelope goes out without its payload.
   * Half of the 1 MiB at which nginx and Fastify stop reading by default. Express stops at 100 KiB: what it answers
   * with 413 is divided and sent again, but a lower limit here saves the detour.
   * @default 524288
   */
  readonly maxBatchBytes?: number;
  /** POSTs under way at the same time, from 1. @default 8 */
  readonly maxConcurrency?: number;
  /**
   * Writes another receiver's shape, a chat message say: a string goes out as text, anything else as JSON. Must not
   * be async. What it throws makes `rejected` receipts.
   * @default CloudEvents: an array, or one event when `maxBatchSize` is 1
   */
  readonly body?: (batch: readonly Envelope[]) => unknown;
  /** Shown in logs and reports. @default 'webhook' */
  readonly name?: string;
}

const NAMES: OptionNames<WebhookNotifierOptions> = {
  url: true,
  secret: true,
  headers: true,
  maxBatchSize: true,
  maxBatchBytes: true,
  maxConcurrency: true,
  body: true,
  name: true,
};

/**
 * Posts envelopes as CloudEvents, signed with Standard Webhooks headers when there is a secret. One try a call, on
 * sockets that are kept and used again; decided by the status line, whatever the response's body does after it.
 *
 * ```
 * 2xx                                           delivered
 * 408 425 429 5xx, no answer, untrusted TLS     retryable, after Retry-After if there is one
 * 400 413 422 on more than one envelope         rejected, divisible
 * every other status; redirects, not followed   rejected
 * ```
 * `webhook-id` is the envelope's id, or a digest of the batch's: the same on every attempt. Errors name the status and
 * the origin, never path, query, credentials, headers or secret.
 * @throws ShutdownError `INVALID_OPTION`, also for a secret that is not base64
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 * @see https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
 */
export function webhookNotifier(options: WebhookNotifierOptions): Notifier {
  refuseMisspelt('webhookNotifier', options, NAMES);
  const maxBatchSize = checkedLimit('maxBatchSize', options.maxBatchSize ?? 500, 1);
  const maxBatchBytes = checkedLimit('maxBatchBytes', options.maxBatchBytes ?? 524_288, 1024);
  const maxConcurrency = checkedLimit('maxConcurrency', options.maxConcurrency ?? 8, 1);
  const name = checkedName(options.name ?? 'webhook');
  const url = checkedUrl(options.url);
  const headers = checkedHeaders(options.headers);
  const signer = createSigner(options.secret);
  const client = createClient();
  const single = maxBatchSize === 1;
  const drain = createDrain();

  async function post(batch: readonly Envelope[], signal: AbortSignal): Promise<Verdict> {
    let message: Message;
    try {
      message = options.body ? customMessage(options.body(batch)) : cloudEvents(batch, single);
    } catch (error) {
      const reason = failed(`the body for ${url.origin} could not be written: ${messageOf(error)}`);
      return { status: 'rejected', error: reason, ...(batch.length > 1 && { divisible: true }) };
    }
    try {
      const response = await client.axios.request<IncomingMessage>({
        method: 'post',
        url: url.href,
        data: Buffer.from(message.text),
        headers: { 'content-type': message.contentType, ...headers, ...signer(batch, message.text) },
        signal,
      });
      await drain(response.data);
      return verdictOf(response, url.origin, batch.length);
    } catch (error) {
      // Never the cause itself: it carries the request's headers.
      return { status: 'retryable', error: signal.aborted ? abortedError(url) : unreachable(url, error) };
    }
  }

  return {
    name,
    maxBatchSize,
    textOnly: options.body === undefined,
    maxBatchBytes,
    maxConcurrency,
    async deliver(batch, { signal }) {
      if (batch.length === 0) return [];
      const verdict: Verdict = signal.aborted
        ? { status: 'retryable', error: abortedError(url) }
        : await post(batch, signal);
      return batch.map(({ id }) => ({ id, ...verdict }));
    },
    warmUp: () => connectOnce(url),
    async close() {
      client.close();
    },
  };
}

interface Message {
  readonly text: string;
  readonly contentType: string;
}

function cloudEvents(batch: readonly Envelope[], single: boolean): Message {
  const text = batch.map(envelopeJson).join(',');
  return single && batch.length === 1
    ? { text, contentType: 'application/cloudevents+json' }
    : { text: `[${text}]`, contentType: 'application/cloudevents-batch+json' };
}

function customMessage(made: unknown): Message {
  if (typeof made === 'string') return { text: made, contentType: 'text/plain; charset=utf-8' };
  if (made instanceof Promise)
    throw new TypeError('body(batch) returned a promise; it must return the value itself');
  const text = JSON.stringify(made) as string | undefined;
  if (text === undefined) throw new TypeError('body(batch) returned nothing that JSON can hold');
  return { text, contentType: 'application/json' };
}
