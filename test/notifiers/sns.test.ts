import { ListTopicsCommand } from '@aws-sdk/client-sns';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { snsNotifier } from '../../notifiers/sns.js';
import { type Envelope, envelopeJson } from '../../src/envelope.js';
import type { Notifier, Receipt } from '../../src/notifier.js';
import { sampleEnvelope } from '../../src/testing/sample-envelopes.js';
import { type SnsQueue, type SnsServer, startSns } from '../far-ends/sns-fauxqs.js';

const never = new AbortController().signal;
const deliver = (notifier: Notifier, batch: readonly Envelope[]) =>
  notifier.deliver(batch, { signal: never, attempt: 1 });
const envelopes = (count: number) => Array.from({ length: count }, () => sampleEnvelope());
const delivered = (batch: readonly Envelope[]) => batch.map(({ id }) => ({ id, status: 'delivered' }));

describe('sns against fauxqs', () => {
  let server: SnsServer;

  beforeAll(async () => {
    server = await startSns();
  }, 30_000);
  afterAll(() => server.stop());

  const open = ({ topicArn }: Pick<SnsQueue, 'topicArn'>, messageGroupId?: string) =>
    snsNotifier({ topicArn, client: server.client(), ...(messageGroupId && { messageGroupId }) });

  it('with raw delivery a queue gets the JSON and the attributes', async () => {
    const queue = await server.openQueue();
    const envelope = sampleEnvelope();
    expect(await deliver(open(queue), [envelope])).toEqual(delivered([envelope]));
    const [message, ...surplus] = await queue.take(1);
    expect(surplus).toEqual([]);
    expect(message?.Body).toBe(envelopeJson(envelope));
    const attributes = Object.entries(message?.MessageAttributes ?? {});
    expect(Object.fromEntries(attributes.map(([name, { StringValue }]) => [name, StringValue]))).toEqual({
      'ce-id': envelope.id,
      'ce-type': 'shutdown-bus.job.incomplete',
      'ce-source': envelope.source,
      'content-type': 'application/cloudevents+json',
    });
  });

  it('without raw delivery the JSON is the Message of the notification', async () => {
    const queue = await server.openQueue({ raw: false });
    const envelope = sampleEnvelope();
    await deliver(open(queue), [envelope]);
    const [message] = await queue.take(1);
    expect(JSON.parse(message?.Body ?? '')).toMatchObject({
      TopicArn: queue.topicArn,
      Message: envelopeJson(envelope),
      MessageAttributes: { 'ce-id': { Type: 'String', Value: envelope.id } },
    });
  });

  it('a thousand envelopes arrive in batches of ten, eight calls at a time', async () => {
    const queue = await server.openQueue();
    const notifier = open(queue);
    const all = envelopes(1000);
    const receipts: Receipt[] = [];
    for (let from = 0; from < all.length; from += 80) {
      const round = Array.from({ length: 8 }, (_, call) =>
        all.slice(from + call * 10, from + call * 10 + 10),
      ).filter((batch) => batch.length > 0);
      receipts.push(...(await Promise.all(round.map((batch) => deliver(notifier, batch)))).flat());
    }
    expect(receipts).toEqual(delivered(all));
    const bodies = (await queue.take(1000)).map(({ Body }) => Body);
    expect(bodies.toSorted()).toEqual(all.map(envelopeJson).toSorted());
  }, 30_000);

  it('on a FIFO topic a batch arrives in order, in the group of its source', async () => {
    const queue = await server.openQueue({ fifo: true });
    const source = '/conformance/0123456789ab';
    const batch = envelopes(10).map((envelope) => ({ ...envelope, source }));
    expect(await deliver(open(queue), batch)).toEqual(delivered(batch));
    const messages = await queue.take(10);
    expect(messages.map(({ Body }) => Body)).toEqual(batch.map(envelopeJson));
    const groups = messages.map(({ Attributes }) => Attributes?.MessageGroupId);
    expect(new Set(groups)).toEqual(new Set([source]));
  });

  it('on a FIFO topic a second report of the same envelope does not arrive', async () => {
    const queue = await server.openQueue({ fifo: true });
    const long = sampleEnvelope({}, 'x'.repeat(300));
    const batch = [sampleEnvelope(), sampleEnvelope({}, 'spaces and ünïcode'), long];
    for (let time = 1; time <= 2; time += 1) {
      expect(await deliver(open(queue), batch)).toEqual(delivered(batch));
    }
    const messages = await queue.take(3);
    expect(messages.map(({ Body }) => Body).toSorted()).toEqual(batch.map(envelopeJson).toSorted());
    const ids = messages.map(({ Attributes }) => Attributes?.MessageDeduplicationId ?? '');
    expect(ids).toContain(batch[0]?.id);
    expect(ids.filter((id) => /^[0-9a-f]{64}$/.test(id))).toHaveLength(2);
  });

  it('a group id of one’s own is used', async () => {
    const queue = await server.openQueue({ fifo: true });
    await deliver(open(queue, 'reports'), envelopes(1));
    const [message] = await queue.take(1);
    expect(message?.Attributes?.MessageGroupId).toBe('reports');
  });

  it('what SNS cannot carry is escaped in the body and replaced in the attributes', async () => {
    const queue = await server.openQueue();
    const envelope = sampleEnvelope({ text: 'a\uFFFFb' }, `\u0007${'é'.repeat(400)}`);
    expect(await deliver(open(queue), [envelope])).toEqual(delivered([envelope]));
    const [message] = await queue.take(1);
    expect(message?.Body).toContain('a\\uffffb');
    expect(JSON.parse(message?.Body ?? '')).toEqual(envelope);
    const id = message?.MessageAttributes?.['ce-id']?.StringValue ?? '';
    expect(id).toMatch(/^[0-9a-f]{12}\/\uFFFDé+$/);
    expect(Buffer.byteLength(id)).toBe(512);
  });

  it('a topic that does not exist rejects, and is named', async () => {
    const topicArn = 'arn:aws:sns:eu-central-1:000000000000:not-there';
    const receipts = await deliver(open({ topicArn }), envelopes(2));
    expect(receipts.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    for (const receipt of receipts) {
      expect(receipt).not.toHaveProperty('divisible');
      expect(receipt).toHaveProperty('error.message', expect.stringContaining(`${topicArn}: NotFound`));
    }
  });

  it('nothing to deliver is no call, and a client that was passed in outlives close', async () => {
    const client = server.client();
    const notifier = snsNotifier({ topicArn: 'arn:aws:sns:eu-central-1:000000000000:none', client });
    await notifier.warmUp?.();
    expect(await deliver(notifier, [])).toEqual([]);
    await notifier.close?.();
    await notifier.close?.();
    expect((await deliver(notifier, envelopes(1)))[0]).toMatchObject({ status: 'retryable' });
    await expect(client.send(new ListTopicsCommand())).resolves.toHaveProperty('Topics');
    client.destroy();
  });
});
