import { type Envelope, envelopeJson } from '../src/envelope.js';
import {
  isShutdownError,
  messageOf,
  type OptionNames,
  refuseMisspelt,
  ShutdownError,
  toError,
} from '../src/errors.js';
import type { Notifier, Receipt } from '../src/notifier.js';
import { createLine, isReady, publish } from './pubsub/line.js';
import { cutText, unlessAborted } from './sdk/peer.js';

/** The part of a `PubSub` instance that is used: where it sends to, and as whom. */
export interface PubsubClient {
  getClientConfig(): Promise<object>;
}

/** Where and how {@link pubsubNotifier} publishes. */
export interface PubsubNotifierOptions {
  /** `projects/<project>/topics/<topic>` */
  readonly topic: string;
  /**
   * An existing `PubSub`: its endpoint and credentials are used, over a connection of our own. It is never closed.
   * @default a new one, with the SDK's own environment (`PUBSUB_EMULATOR_HOST`, application default credentials)
   */
  readonly client?: PubsubClient;
  /**
   * Up to 1024 bytes. A batch that failed is published again after those that followed it, so the order is that of
   * arrival. @default none
   */
  readonly orderingKey?: string;
  /** @default 'pubsub' */
  readonly name?: string;
  /** Messages a call, 1 to 1000. @default 1000 */
  readonly maxBatchSize?: number;
  /** Calls under way at the same time. @default 4, with an ordering key 1 */
  readonly maxConcurrency?: number;
}

/**
 * Publishes each envelope as one Pub/Sub message: the body is its JSON, the attributes `ce-id`, `ce-type`,
 * `ce-source`, `ce-subject`, `ce-time`, `ce-specversion` and `content-type` are there for subscription filters and
 * are cut at the 1024 bytes an attribute may have. One `Publish` call a batch, without the SDK's queue, timers and
 * retries; so no ordering key is ever left paused by a failure.
 *
 * `NOT_FOUND`, `PERMISSION_DENIED`, `FAILED_PRECONDITION`, `OUT_OF_RANGE` and `UNIMPLEMENTED` are `rejected`;
 * `INVALID_ARGUMENT` too, a batch of several as `divisible`. All else is `retryable`, also `UNAUTHENTICATED`: a token
 * that ran out looks the same as a wrong one, and the next try asks for a new one.
 *
 * @throws ShutdownError `INVALID_OPTION`. `PACKAGE_MISSING` comes from `warmUp`, and as `rejected` from `deliver`.
 * @see https://cloud.google.com/pubsub/quotas#resource_limits
 */
export function pubsubNotifier(options: PubsubNotifierOptions): Notifier {
  const { topic, client, orderingKey, name, maxBatchSize, maxConcurrency } = checked(options);
  const line = createLine(topic.split('/')[1] as string, client);
  return {
    name,
    maxBatchSize,
    textOnly: true,
    // Of the 10 MB a request may have; the rest is for a thousand sets of attributes.
    maxBatchBytes: 9_000_000,
    maxConcurrency,
    async deliver(batch, { signal }) {
      if (batch.length === 0) return [];
      try {
        const messages = batch.map((envelope) => messageFor(envelope, orderingKey));
        const ids = await unlessAborted(publish(line, { topic, messages }, signal), signal);
        return batch.map(({ id }, index) =>
          ids[index]
            ? { id, status: 'delivered' }
            : { id, status: 'retryable', error: failed(topic, 'the answer has no id for this message') },
        );
      } catch (error) {
        return refusals(batch, signal.aborted ? toError(signal.reason) : error, topic);
      }
    },
    async warmUp() {
      try {
        const { publisher, stub, anonymous } = await line.open();
        if (!anonymous) await publisher.auth.getRequestHeaders(TOKEN_AUDIENCE);
        if (!(await isReady(stub, LONGEST_WARM_UP_MS)))
          throw new Error(`no connection in ${LONGEST_WARM_UP_MS} ms`);
      } catch (error) {
        throw asOurs(topic, error);
      }
    },
    close: () => line.close(),
  };
}

const ATTRIBUTE_BYTES = 1024;
const LONGEST_WARM_UP_MS = 5000;
const TOKEN_AUDIENCE = 'https://pubsub.googleapis.com/google.pubsub.v1.Publisher';
const INVALID_ARGUMENT = 3;
/** The gRPC codes that another try in the same minute does not change: 5 NOT_FOUND … 12 UNIMPLEMENTED. */
const FINAL_CODES: ReadonlySet<unknown> = new Set([INVALID_ARGUMENT, 5, 7, 9, 11, 12]);

function messageFor(envelope: Envelope, orderingKey: string | undefined) {
  const { specversion, id, source, type, subject, time } = envelope;
  const attributes: Record<string, string> = { 'content-type': 'application/cloudevents+json' };
  for (const [key, value] of Object.entries({ specversion, id, source, type, subject, time }))
    attributes[`ce-${key}`] = cutText(value, ATTRIBUTE_BYTES);
  return { data: Buffer.from(envelopeJson(envelope)), attributes, ...(orderingKey && { orderingKey }) };
}

function refusals(batch: readonly Envelope[], thrown: unknown, topic: string): Receipt[] {
  const missing = isShutdownError(thrown, 'PACKAGE_MISSING');
  const error = asOurs(topic, thrown);
  const code = codeOf(thrown);
  if (!missing && !FINAL_CODES.has(code)) return batch.map(({ id }) => ({ id, status: 'retryable', error }));
  const divisible = code === INVALID_ARGUMENT && batch.length > 1;
  return batch.map(({ id }) => ({ id, status: 'rejected', error, ...(divisible && { divisible }) }));
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | undefined)?.code;
}

function asOurs(topic: string, thrown: unknown): ShutdownError {
  return isShutdownError(thrown) ? thrown : failed(topic, messageOf(thrown).slice(0, 300));
}

// The SDK's error is not kept as the cause: it can carry the request and its credentials into a log.
function failed(topic: string, why: string): ShutdownError {
  return new ShutdownError('DELIVERY_FAILED', `Pub/Sub did not take a message for ${topic}: ${why}`);
}

const NAMES: OptionNames<PubsubNotifierOptions> = {
  topic: true,
  client: true,
  orderingKey: true,
  name: true,
  maxBatchSize: true,
  maxConcurrency: true,
};

function checked(options: PubsubNotifierOptions) {
  refuseMisspelt('pubsubNotifier', options, NAMES);
  const { topic, client, orderingKey, name = 'pubsub', maxBatchSize = 1000 } = options;
  const { maxConcurrency = orderingKey === undefined ? 4 : 1 } = options;
  const wrong = (what: string, got: unknown, allowed: string): never => {
    const message = `pubsubNotifier: ${what} is ${JSON.stringify(got)}; ${allowed}`;
    throw new ShutdownError('INVALID_OPTION', message);
  };
  if (typeof topic !== 'string' || !/^projects\/[^/\s]+\/topics\/[A-Za-z][\w.~+%-]{2,254}$/.test(topic))
    wrong('topic', topic, 'it has the form projects/<project>/topics/<topic>');
  if (!Number.isInteger(maxBatchSize) || maxBatchSize < 1 || maxBatchSize > 1000)
    wrong('maxBatchSize', maxBatchSize, 'a call takes 1 to 1000 messages');
  if (!Number.isInteger(maxConcurrency) || maxConcurrency < 1)
    wrong('maxConcurrency', maxConcurrency, 'it is a whole number from 1');
  if (typeof name !== 'string' || name === '') wrong('name', name, 'it is a text that is not empty');
  const keyBytes = orderingKey === undefined ? 1 : Buffer.byteLength(orderingKey);
  if (keyBytes < 1 || keyBytes > 1024) wrong('orderingKey', orderingKey, 'it has 1 to 1024 bytes');
  return { topic, client, orderingKey, name, maxBatchSize, maxConcurrency };
}
