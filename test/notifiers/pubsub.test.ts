import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pubsubNotifier } from '../../notifiers/pubsub.js';
import { type Envelope, envelopeJson } from '../../src/envelope.js';
import type { Notifier } from '../../src/notifier.js';
import { sampleEnvelope } from '../../src/testing/sample-envelopes.js';
import { startPubsub } from '../far-ends/pubsub-emulator.js';
import { startPubsubFake } from '../far-ends/pubsub-fake.js';
import { openInbox, type PubsubInbox, type PubsubServer, pubsubAt } from '../far-ends/pubsub-inbox.js';

const never = new AbortController().signal;
const deliver = (notifier: Notifier, batch: readonly Envelope[]) =>
  notifier.deliver(batch, { signal: never, attempt: 1 });
const envelopes = (count: number) => Array.from({ length: count }, () => sampleEnvelope());

const servers = { 'the emulator': startPubsub, 'the fake': () => startPubsubFake() };

for (const [title, start] of Object.entries(servers)) {
  describe(`pubsub against ${title}`, () => {
    let server: PubsubServer;
    let inbox: PubsubInbox;
    const opened: Notifier[] = [];

    beforeAll(async () => {
      server = await start();
      inbox = await openInbox(server);
    }, 60_000);

    afterAll(async () => {
      for (const notifier of opened) await notifier.close?.();
      await inbox.close();
      await server.stop();
    });

    function open(options: { readonly topic?: string; readonly orderingKey?: string } = {}): Notifier {
      const notifier = pubsubNotifier({ topic: inbox.topic, client: pubsubAt(server.host), ...options });
      opened.push(notifier);
      return notifier;
    }

    it('an envelope arrives as one message: its JSON, and its CloudEvents attributes', async () => {
      const envelope = sampleEnvelope({ frames: 3 });
      const receipts = await deliver(open(), [envelope]);
      expect(receipts).toEqual([{ id: envelope.id, status: 'delivered' }]);
      const [message, ...surplus] = await inbox.take(1);
      expect(surplus).toEqual([]);
      expect(message).toEqual({
        data: envelopeJson(envelope),
        orderingKey: '',
        attributes: {
          'content-type': 'application/cloudevents+json',
          'ce-specversion': '1.0',
          'ce-id': envelope.id,
          'ce-source': envelope.source,
          'ce-type': 'shutdown-bus.job.incomplete',
          'ce-subject': envelope.subject,
          'ce-time': envelope.time,
        },
      });
    });

    it('a thousand envelopes go out in one batch, each with its receipt', async () => {
      const batch = envelopes(1000);
      const receipts = await deliver(open(), batch);
      expect(receipts).toEqual(batch.map(({ id }) => ({ id, status: 'delivered' })));
      const ids = (await inbox.take(1000)).map(({ attributes }) => attributes['ce-id']);
      expect(ids.toSorted()).toEqual(batch.map(({ id }) => id).toSorted());
    }, 20_000);

    it('with an ordering key, batches arrive in the order they were sent', async () => {
      const notifier = open({ orderingKey: 'reports' });
      const batch = envelopes(60);
      for (const from of [0, 20, 40]) await deliver(notifier, batch.slice(from, from + 20));
      const messages = await inbox.take(60);
      expect(messages.map(({ attributes }) => attributes['ce-id'])).toEqual(batch.map(({ id }) => id));
      expect(new Set(messages.map(({ orderingKey }) => orderingKey))).toEqual(new Set(['reports']));
    });

    it('a failed publish does not pause its ordering key', async () => {
      const client = pubsubAt(server.host);
      const lost = pubsubNotifier({ topic: `${inbox.topic}-not-there`, client, orderingKey: 'k' });
      opened.push(lost);
      expect((await deliver(lost, envelopes(1)))[0]?.status).toBe('rejected');
      const [late] = await openInbox(server).then(async (other) => {
        const notifier = pubsubNotifier({ topic: other.topic, client, orderingKey: 'k' });
        opened.push(notifier);
        const receipts = await deliver(notifier, envelopes(1));
        await other.take(1);
        await other.close();
        return receipts;
      });
      expect(late?.status).toBe('delivered');
    });

    it('a topic that does not exist rejects, and is named', async () => {
      const topic = `${inbox.topic}-not-there`;
      const [receipt] = await deliver(open({ topic }), [sampleEnvelope()]);
      expect(receipt).toMatchObject({ status: 'rejected', error: { code: 'DELIVERY_FAILED' } });
      expect(receipt).toHaveProperty('error.message', expect.stringContaining(`${topic}: 5 NOT_FOUND`));
      expect(receipt).not.toHaveProperty('divisible');
    });

    it('values over 1024 bytes are cut in the attributes, between characters, and whole in the body', async () => {
      const envelope = sampleEnvelope({}, `x${'é'.repeat(700)}`);
      expect((await deliver(open(), [envelope]))[0]?.status).toBe('delivered');
      const [message] = await inbox.take(1);
      expect(message?.attributes['ce-subject']).toBe(`x${'é'.repeat(511)}`);
      expect(JSON.parse(message?.data ?? '')).toEqual(envelope);
    });

    it('warmUp connects, and a client that was passed in outlives close', async () => {
      const client = pubsubAt(server.host);
      const notifier = pubsubNotifier({ topic: inbox.topic, client });
      await notifier.warmUp?.();
      await notifier.close?.();
      await notifier.close?.();
      expect((await deliver(notifier, envelopes(1)))[0]).toMatchObject({ status: 'retryable' });
      const other = `${inbox.topic}-after-close`;
      const [made] = await client.createTopic(other);
      expect(made.name).toBe(other);
      await client.close();
    });

    it('one turn after a failed call nothing was thrown past it', async () => {
      const unhandled: unknown[] = [];
      const note = (reason: unknown) => unhandled.push(reason);
      process.on('unhandledRejection', note);
      const receipts = await deliver(open({ topic: `${inbox.topic}-not-there` }), envelopes(2));
      await nextTurn();
      process.removeListener('unhandledRejection', note);
      expect(receipts.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
      expect(unhandled).toEqual([]);
    });
  });
}
