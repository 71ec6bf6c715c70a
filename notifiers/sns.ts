import { createHash } from 'node:crypto';
import type { PublishBatchResponse } from '@aws-sdk/client-sns';
import { type Envelope, envelopeJson } from '../src/envelope.js';
import { isShutdownError, type OptionNames, refuseMisspelt, ShutdownError, toError } from '../src/errors.js';
import type { Notifier, Receipt } from '../src/notifier.js';
import { cutText, unlessAborted } from './sdk/peer.js';
import { createLine, onlyOnce } from './sns/line.js';
import { describe, failed, refusals } from './sns/refusal.js';

/** The part of an `SNSClient` that is used. */
export interface SnsClient {
  // biome-ignore lint/suspicious/noExplicitAny: the command is made by the SDK, whose types a consumer may not have
  send(command: any, options?: { abortSignal?: AbortSignal }): Promise<any>;
}

/** Where and how {@link snsNotifier} publishes. */
export interface SnsNotifierOptions {
  /** `arn:aws:sns:<region>:<account>:<topic>`; a name that ends in `.fifo` is a FIFO topic. */
  readonly topicArn: string;
  /**
   * An existing `SNSClient`; never closed, and its own retries are off for our calls.
   * @default a new one in the topic's region, the rest from the SDK's own environment
   */
  readonly client?: SnsClient;
  /**
   * 1 to 128 printable ASCII characters. @default on a FIFO topic the envelope's `source`, so one group a process;
   * on others none
   */
  readonly messageGroupId?: string;
  /** @default 'sns' */
  readonly name?: string;
  /** Calls under way at the same time. With 1, a FIFO group arrives in order as long as no call fails. @default 8 */
  readonly maxConcurrency?: number;
}

/**
 * Publishes each envelope as one SNS message, up to ten a `PublishBatch`: the message is its JSON, the attributes
 * `ce-id`, `ce-type`, `ce-source` and `content-type` are there for filter policies and are cut at 512 bytes.
 * On a FIFO topic the deduplication id comes from the envelope's id: within five minutes SNS drops a second report.
 *
 * ```
 * no answer, 5xx, throttled                      retryable
 * no or wrong credentials, expired, clock skew   retryable: they are loaded again for the next try
 * not authorised, no such topic, other 4xx       rejected; what may be one entry's fault: divisible
 * a single entry failed                          SenderFault ? rejected : retryable
 * ```
 * @throws ShutdownError `INVALID_OPTION`. `PACKAGE_MISSING` comes from `warmUp`, and as `rejected` from `deliver`.
 * @see https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
 */
export function snsNotifier(options: SnsNotifierOptions): Notifier {
  const { topicArn, region, messageGroupId, name, maxConcurrency } = checked(options);
  const line = createLine(region, options.client);

  async function publish(batch: readonly Envelope[], abortSignal: AbortSignal): Promise<Receipt[]> {
    abortSignal.throwIfAborted();
    const { client, sdk } = await line.open();
    abortSignal.throwIfAborted();
    const PublishBatchRequestEntries = batch.map((envelope, index) =>
      entryFor(envelope, String(index), topicArn.endsWith('.fifo'), messageGroupId),
    );
    const command = onlyOnce(new sdk.PublishBatchCommand({ TopicArn: topicArn, PublishBatchRequestEntries }));
    return receipts(batch, await client.send(command, { abortSignal }), topicArn);
  }

  return {
    name,
    maxBatchSize: 10,
    textOnly: true,
    // Of 256 KiB: ten entries with their attributes cut to size take less than the 16 KiB left.
    maxBatchBytes: 240 * 1024,
    maxConcurrency,
    async deliver(batch, { signal }) {
      if (batch.length === 0) return [];
      try {
        // Of its own: the SDK leaves listeners on the signal it gets.
        return await unlessAborted(publish(batch, AbortSignal.any([signal])), signal);
      } catch (error) {
        return refusals(batch, signal.aborted ? toError(signal.reason) : error, topicArn);
      }
    },
    async warmUp() {
      await line.resolve().catch((error) => {
        throw isShutdownError(error) ? error : failed(topicArn, describe(error));
      });
    },
    close: async () => line.close(),
  };
}

const ATTRIBUTE_BYTES = 512;

function entryFor(envelope: Envelope, Id: string, fifo: boolean, group: string | undefined) {
  const attribute = (value: string) => ({ DataType: 'String', StringValue: attributeText(value) });
  const { id, type, source } = envelope;
  const groupId = group ?? (fifo ? source.replace(/[^!-~]/g, '_').slice(0, 128) : undefined);
  return {
    Id,
    Message: carried(envelopeJson(envelope)),
    MessageAttributes: {
      'ce-id': attribute(id),
      'ce-type': attribute(type),
      'ce-source': attribute(source),
      'content-type': attribute('application/cloudevents+json'),
    },
    ...(groupId && { MessageGroupId: groupId }),
    ...(fifo && { MessageDeduplicationId: deduplicationId(id) }),
  };
}

/** The id itself where SNS allows it, else its SHA-256 in hex: up to 128 printable ASCII characters. */
function deduplicationId(id: string): string {
  return /^[!-~]{1,128}$/.test(id) ? id : createHash('sha256').update(id).digest('hex');
}

/** JSON text in the characters that SNS and SQS carry; the two that JSON leaves unescaped and they refuse are escaped. */
function carried(json: string): string {
  return json.replace(/[\uFFFE\uFFFF]/g, (one) => `\\u${one.charCodeAt(0).toString(16)}`);
}

/** At most {@link ATTRIBUTE_BYTES} of UTF-8, none of it what SNS refuses, never empty. */
function attributeText(value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly those that SNS does not carry
  return cutText(value.replace(/[\0-\x08\x0B\x0C\x0E-\x1F\uFFFE\uFFFF]/g, '\uFFFD') || '-', ATTRIBUTE_BYTES);
}

function receipts(batch: readonly Envelope[], answer: PublishBatchResponse, topicArn: string): Receipt[] {
  const taken = new Set(answer.Successful?.map((entry) => entry.Id));
  const refused = new Map(answer.Failed?.map((entry) => [entry.Id, entry]));
  return batch.map(({ id }, index) => {
    if (taken.has(String(index))) return { id, status: 'delivered' };
    const entry = refused.get(String(index));
    const why = entry ? `${entry.Code}: ${entry.Message}` : 'the answer does not mention it';
    return { id, status: entry?.SenderFault ? 'rejected' : 'retryable', error: failed(topicArn, why) };
  });
}

const NAMES: OptionNames<SnsNotifierOptions> = {
  topicArn: true,
  client: true,
  messageGroupId: true,
  name: true,
  maxConcurrency: true,
};

function checked(options: SnsNotifierOptions) {
  refuseMisspelt('snsNotifier', options, NAMES);
  const { topicArn, messageGroupId, name = 'sns', maxConcurrency = 8 } = options;
  const wrong = (what: string, got: unknown, allowed: string) =>
    new ShutdownError('INVALID_OPTION', `snsNotifier: ${what} is ${JSON.stringify(got)}; ${allowed}`);
  const region = /^arn:aws[a-z-]*:sns:([a-z0-9-]+):\d{12}:[\w-]{1,256}(\.fifo)?$/.exec(topicArn)?.[1];
  if (!region) throw wrong('topicArn', topicArn, 'it has the form arn:aws:sns:<region>:<account>:<topic>');
  if (messageGroupId !== undefined && !/^[!-~]{1,128}$/.test(messageGroupId))
    throw wrong('messageGroupId', messageGroupId, 'it has 1 to 128 printable ASCII characters');
  if (typeof name !== 'string' || name === '') throw wrong('name', name, 'it is a text that is not empty');
  if (!Number.isInteger(maxConcurrency) || maxConcurrency < 1)
    throw wrong('maxConcurrency', maxConcurrency, 'it is a whole number from 1');
  return { topicArn, region, messageGroupId, name, maxConcurrency };
}
