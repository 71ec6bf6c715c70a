import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type PubsubNotifierOptions, pubsubNotifier } from '../../notifiers/pubsub.js';
import { type Envelope, envelopeJson } from '../../src/envelope.js';
import { ShutdownError } from '../../src/errors.js';
import type { Notifier } from '../../src/notifier.js';
import { sampleEnvelope } from '../../src/testing/sample-envelopes.js';
import { runWithoutPackages } from '../far-ends/bare-install.js';
import { type PublishFate, type PubsubFake, startPubsubFake } from '../far-ends/pubsub-fake.js';
import { openInbox, pubsubAt } from '../far-ends/pubsub-inbox.js';
import { deadPort, startSilentServer } from '../far-ends/silent-server.js';

const topic = 'projects/inbox/topics/reports';
const never = new AbortController().signal;
const undo: (() => Promise<void> | undefined)[] = [];

afterEach(async () => {
  for (const one of undo.splice(0).reverse()) await one();
  vi.unstubAllEnvs();
});

function open(options: Partial<PubsubNotifierOptions>): Notifier {
  const notifier = pubsubNotifier({ topic, ...options });
  undo.push(() => notifier.close?.());
  return notifier;
}

async function fakeThat(fate?: (number: number) => PublishFate): Promise<PubsubFake> {
  const fake = await startPubsubFake(fate && ((_, number) => fate(number)));
  undo.push(fake.stop);
  return fake;
}

const deliver = (notifier: Notifier, batch: readonly Envelope[], signal = never) =>
  notifier.deliver(batch, { signal, attempt: 1 });

describe('gRPC codes', () => {
  const rejected = [
    'INVALID_ARGUMENT',
    'NOT_FOUND',
    'PERMISSION_DENIED',
    'FAILED_PRECONDITION',
    'OUT_OF_RANGE',
    'UNIMPLEMENTED',
  ];
  const names = Object.keys(status).filter((name) => Number.isNaN(Number(name)) && name !== 'OK');

  for (const name of names) {
    const expected = rejected.includes(name) ? 'rejected' : 'retryable';
    it(`${name} is ${expected}, after one call`, async () => {
      const code = status[name as keyof typeof status];
      const fake = await fakeThat(() => ({ code, details: 'as the script says' }));
      const [receipt] = await deliver(open({ client: pubsubAt(fake.host) }), [sampleEnvelope()]);
      expect(receipt?.status).toBe(expected);
      expect(receipt).toHaveProperty(
        'error.message',
        expect.stringContaining(`${code} ${name}: as the script`),
      );
      expect(receipt).not.toHaveProperty('divisible');
      expect(fake.calls).toHaveLength(1);
    });
  }

  it('INVALID_ARGUMENT on a batch of two is divisible, NOT_FOUND is not', async () => {
    const fake = await fakeThat((number) => ({ code: number === 1 ? 3 : 5, details: 'no' }));
    const notifier = open({ client: pubsubAt(fake.host) });
    const batch = [sampleEnvelope(), sampleEnvelope()];
    const first = await deliver(notifier, batch);
    expect(first).toMatchObject(batch.map(({ id }) => ({ id, status: 'rejected', divisible: true })));
    for (const receipt of await deliver(notifier, batch)) expect(receipt).not.toHaveProperty('divisible');
  });

  it('UNAUTHENTICATED makes the next call start over on a new connection', async () => {
    const fake = await fakeThat((number) => (number === 1 ? { code: 16, details: 'expired' } : 'take'));
    const inbox = await openInbox(fake);
    undo.push(inbox.close);
    const notifier = open({ topic: inbox.topic, client: pubsubAt(fake.host) });
    const statuses: unknown[] = [];
    for (let call = 1; call <= 3; call += 1) {
      statuses.push((await deliver(notifier, [sampleEnvelope()]))[0]?.status);
    }
    expect(statuses).toEqual(['retryable', 'delivered', 'delivered']);
    const [first, second, third] = fake.calls.map(({ peer }) => peer);
    expect(second).not.toBe(first);
    expect(third).toBe(second);
  });
});

describe('calls', () => {
  it('nothing to deliver is no call', async () => {
    const fake = await fakeThat();
    expect(await deliver(open({ client: pubsubAt(fake.host) }), [])).toEqual([]);
    expect(fake.calls).toHaveLength(0);
  });

  it('a batch of a thousand is one call, with the ordering key on each message', async () => {
    const fake = await fakeThat();
    const notifier = open({ client: pubsubAt(fake.host), orderingKey: 'k' });
    const batch = Array.from({ length: 1000 }, () => sampleEnvelope());
    await deliver(notifier, batch);
    expect(fake.calls).toHaveLength(1);
    const [call] = fake.calls;
    expect(call?.messages.map(({ data }) => data.toString())).toEqual(batch.map(envelopeJson));
    expect(call?.messages.filter(({ orderingKey }) => orderingKey === 'k')).toHaveLength(1000);
  });

  it('two batches at the same time are two calls: the SDK does not put them together', async () => {
    const fake = await fakeThat((number) => (number === 1 ? { code: 14, details: 'busy' } : 'hang'));
    const notifier = open({ client: pubsubAt(fake.host) });
    const batches = [[sampleEnvelope()], [sampleEnvelope(), sampleEnvelope()]];
    const abort = new AbortController();
    const answers = Promise.all(batches.map((batch) => deliver(notifier, batch, abort.signal)));
    await vi.waitUntil(() => fake.calls.length === 2);
    abort.abort();
    expect((await answers).map(({ length }) => length)).toEqual([1, 2]);
    expect(fake.calls.map(({ messages }) => messages.length).toSorted()).toEqual([1, 2]);
  });

  it('an answer without ids leaves every envelope to be tried again', async () => {
    const fake = await fakeThat(() => 'forget');
    const inbox = await openInbox(fake);
    undo.push(inbox.close);
    const notifier = open({ topic: inbox.topic, client: pubsubAt(fake.host) });
    const receipts = await deliver(notifier, [sampleEnvelope(), sampleEnvelope()]);
    expect(receipts.map(({ status }) => status)).toEqual(['retryable', 'retryable']);
  });

  it('an abort settles with its reason and cancels the call at the server', async () => {
    const fake = await fakeThat(() => 'hang');
    const abort = new AbortController();
    const call = deliver(open({ client: pubsubAt(fake.host) }), [sampleEnvelope()], abort.signal);
    await vi.waitUntil(() => fake.calls.length === 1);
    const reason = new ShutdownError('DELIVERY_FAILED', 'the attempt is over');
    abort.abort(reason);
    const [receipt] = await call;
    expect(receipt?.status).toBe('retryable');
    expect(receipt).toHaveProperty('error', reason);
    await vi.waitUntil(() => fake.cancelled() === 1);
  });
});

describe('a far end out of reach', () => {
  it('a dead port is retryable before any abort, and again on the next call', async () => {
    const notifier = open({ client: pubsubAt(`127.0.0.1:${await deadPort()}`) });
    for (let call = 1; call <= 2; call += 1) {
      const [receipt] = await deliver(notifier, [sampleEnvelope()], AbortSignal.timeout(3000));
      expect(receipt?.status).toBe('retryable');
      expect(receipt).toHaveProperty('error.message', expect.stringContaining('14 UNAVAILABLE'));
    }
  });

  it('a server that comes up after the first failure is reached within a second', async () => {
    const port = await deadPort();
    const notifier = open({ client: pubsubAt(`127.0.0.1:${port}`) });
    const [receipt] = await deliver(notifier, [sampleEnvelope()]);
    expect(receipt?.status).toBe('retryable');
    const fake = await startPubsubFake(() => ({ code: 5, details: 'here I am' }), port);
    undo.push(fake.stop);
    const end = performance.now() + 900;
    while (fake.calls.length === 0 && performance.now() < end) {
      await deliver(notifier, [sampleEnvelope()]);
      await pause(20);
    }
    expect(fake.calls).toHaveLength(1);
  });

  it('a server that never answers is given up when the signal aborts, also by warmUp in five seconds', async () => {
    const silent = await startSilentServer();
    undo.push(silent.stop);
    const notifier = open({ client: pubsubAt(`127.0.0.1:${silent.port}`) });
    const abort = new AbortController();
    const call = deliver(notifier, [sampleEnvelope()], abort.signal);
    await silent.connected;
    const from = performance.now();
    abort.abort();
    expect((await call)[0]?.status).toBe('retryable');
    expect(performance.now() - from).toBeLessThan(200);
    await expect(notifier.warmUp?.()).rejects.toMatchObject({ code: 'DELIVERY_FAILED' });
  }, 10_000);

  it('without credentials a call is retryable, leaves no unhandled rejection, and the next one looks again', async () => {
    vi.stubEnv('PUBSUB_EMULATOR_HOST', undefined);
    vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', undefined);
    vi.stubEnv('CLOUDSDK_CONFIG', '/there/is/no/such/folder');
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', note);
    const notifier = open({});
    const [receipt] = await deliver(notifier, [sampleEnvelope()]);
    for (let turn = 0; turn < 3; turn += 1) await nextTurn();
    process.removeListener('unhandledRejection', note);
    expect(receipt).toMatchObject({ status: 'retryable', error: { code: 'DELIVERY_FAILED' } });
    expect(receipt).toHaveProperty('error.message', expect.stringContaining('default credentials'));
    expect(unhandled).toEqual([]);

    const fake = await fakeThat();
    vi.stubEnv('PUBSUB_EMULATOR_HOST', fake.host);
    expect((await deliver(notifier, [sampleEnvelope()]))[0]).toMatchObject({ status: 'rejected' });
    expect(fake.calls).toHaveLength(1);
  });
});

describe('making one', () => {
  it('PUBSUB_EMULATOR_HOST is where it goes when no client is given', async () => {
    const fake = await fakeThat();
    vi.stubEnv('PUBSUB_EMULATOR_HOST', fake.host);
    const inbox = await openInbox(fake);
    undo.push(inbox.close);
    const envelope = sampleEnvelope();
    const notifier = open({ topic: inbox.topic });
    await notifier.warmUp?.();
    expect(await deliver(notifier, [envelope])).toEqual([{ id: envelope.id, status: 'delivered' }]);
    expect((await inbox.take(1)).map(({ data }) => data)).toEqual([envelopeJson(envelope)]);
  });

  const bad: readonly [string, Partial<PubsubNotifierOptions>][] = [
    ['a bare topic id', { topic: 'reports' }],
    ['a topic without a project', { topic: 'projects//topics/reports' }],
    ['a subscription', { topic: 'projects/p/subscriptions/reports' }],
    ['a batch of none', { maxBatchSize: 0 }],
    ['a batch of 1001', { maxBatchSize: 1001 }],
    ['no concurrency', { maxConcurrency: 0 }],
    ['an empty name', { name: '' }],
    ['an empty ordering key', { orderingKey: '' }],
    ['an ordering key of 1025 bytes', { orderingKey: 'k'.repeat(1025) }],
  ];
  for (const [what, options] of bad) {
    it(`${what} is refused at once`, () => {
      expect(() => open(options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    });
  }

  it('its limits are those of Pub/Sub, and an ordering key means one call at a time', () => {
    expect(open({})).toMatchObject({ name: 'pubsub', maxBatchSize: 1000, maxConcurrency: 4 });
    expect(open({ orderingKey: 'k', maxBatchSize: 10 })).toMatchObject({
      maxBatchSize: 10,
      maxConcurrency: 1,
    });
    expect(open({}).maxBatchBytes).toBeLessThan(10_000_000);
  });

  it('where the package is missing it can be made; warmUp says what to install, deliver rejects', async () => {
    const output = await runWithoutPackages(
      'notifiers/pubsub',
      `import { pubsubNotifier } from './notifiers/pubsub.js';
       const notifier = pubsubNotifier({ topic: '${topic}' });
       const error = await notifier.warmUp().catch((error) => error);
       const signal = new AbortController().signal;
       const [receipt] = await notifier.deliver([${JSON.stringify(sampleEnvelope())}], { signal, attempt: 1 });
       console.log(error.code, '|', error.message, '|', receipt.status, receipt.error.code);`,
    );
    expect(output).toBe(
      'PACKAGE_MISSING | the Pub/Sub notifier needs a package that is not installed: ' +
        'npm install @google-cloud/pubsub | rejected PACKAGE_MISSING',
    );
  });
});
