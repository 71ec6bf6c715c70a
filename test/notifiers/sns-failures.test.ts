import { SNSClient } from '@aws-sdk/client-sns';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type SnsNotifierOptions, snsNotifier } from '../../notifiers/sns.js';
import type { Envelope } from '../../src/envelope.js';
import { ShutdownError } from '../../src/errors.js';
import type { Notifier } from '../../src/notifier.js';
import { sampleEnvelope } from '../../src/testing/sample-envelopes.js';
import { runWithoutPackages } from '../far-ends/bare-install.js';
import { deadPort, startSilentServer } from '../far-ends/silent-server.js';
import { TEST_CREDENTIALS } from '../far-ends/sns-fauxqs.js';
import { type SnsAnswer, snsError, snsPartialFailure, startScriptedSns } from '../far-ends/sns-scripted.js';

interface Retrying {
  refreshRetryTokenForRetry(...details: unknown[]): Promise<unknown>;
}

const topicArn = 'arn:aws:sns:eu-central-1:123456789012:reports';
const never = new AbortController().signal;
const undo: (() => Promise<void> | undefined)[] = [];

beforeEach(() => {
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  vi.stubEnv('AWS_CONFIG_FILE', '/dev/null');
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/dev/null');
  vi.stubEnv('AWS_REGION', undefined);
  vi.stubEnv('AWS_ACCESS_KEY_ID', TEST_CREDENTIALS.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', TEST_CREDENTIALS.secretAccessKey);
});
afterEach(async () => {
  for (const one of undo.splice(0).reverse()) await one();
  vi.unstubAllEnvs();
});

/** A notifier with a client of its own, sent to `endpoint` through the SDK's environment. */
function open(endpoint: string, options: Partial<SnsNotifierOptions> = {}): Notifier {
  vi.stubEnv('AWS_ENDPOINT_URL_SNS', endpoint);
  const notifier = snsNotifier({ topicArn, ...options });
  undo.push(() => notifier.close?.());
  return notifier;
}

async function scripted(answer: SnsAnswer | undefined) {
  const server = await startScriptedSns(() => answer);
  undo.push(server.stop);
  return server;
}

const deliver = (notifier: Notifier, batch: readonly Envelope[], signal = never) =>
  notifier.deliver(batch, { signal, attempt: 1 });
const envelopes = (count: number) => Array.from({ length: count }, () => sampleEnvelope());

describe('answers', () => {
  const fates: readonly [number, string, 'rejected' | 'retryable', divisible?: true][] = [
    [500, 'InternalError', 'retryable'],
    [503, 'ServiceUnavailable', 'retryable'],
    [400, 'Throttling', 'retryable'],
    [429, 'Throttled', 'retryable'],
    [400, 'KMSThrottling', 'retryable'],
    [400, 'RequestExpired', 'retryable'],
    [403, 'ExpiredToken', 'retryable'],
    [403, 'InvalidClientTokenId', 'retryable'],
    [403, 'SignatureDoesNotMatch', 'retryable'],
    [403, 'AuthorizationError', 'rejected'],
    [403, 'AccessDenied', 'rejected'],
    [404, 'NotFound', 'rejected'],
    [400, 'KMSAccessDenied', 'rejected'],
    [400, 'InvalidParameter', 'rejected', true],
    [400, 'ValidationError', 'rejected', true],
    [400, 'AWS.SimpleNotificationService.BatchRequestTooLong', 'rejected', true],
    [400, 'BatchRequestTooLong', 'rejected', true],
    [413, 'RequestEntityTooLarge', 'rejected', true],
  ];
  for (const [status, code, expected, divisible] of fates) {
    it(`${status} ${code} is ${divisible ? 'divisible and ' : ''}${expected}, after one call`, async () => {
      const server = await scripted(snsError(status, code));
      const notifier = open(server.endpoint);
      const batch = envelopes(2);
      const receipts = await deliver(notifier, batch);
      expect(receipts).toMatchObject(batch.map(({ id }) => ({ id, status: expected })));
      for (const receipt of receipts) expect('divisible' in receipt).toBe(divisible === true);
      expect(server.requests).toHaveLength(1);
      const [alone] = await deliver(notifier, envelopes(1));
      expect(alone).not.toHaveProperty('divisible');
    });
  }

  it('an entry that fails is rejected if it is the sender’s fault, else retryable; the others are delivered', async () => {
    const failed = {
      1: { code: 'InvalidParameter', senderFault: true },
      3: { code: 'InternalError', senderFault: false },
    };
    const server = await scripted(snsPartialFailure(4, failed));
    const batch = envelopes(5);
    const receipts = await deliver(open(server.endpoint), batch);
    expect(receipts.map(({ id }) => id)).toEqual(batch.map(({ id }) => id));
    expect(receipts.map(({ status }) => status)).toEqual([
      'delivered',
      'rejected',
      'delivered',
      'retryable',
      // The answer has four entries: of the fifth nobody knows.
      'retryable',
    ]);
    expect(receipts[1]).toHaveProperty('error.message', expect.stringContaining('InvalidParameter: no'));
  });

  it('an answer that is no XML is retryable', async () => {
    const server = await scripted({ status: 200, body: '<html>sign in to the hotel wifi' });
    expect((await deliver(open(server.endpoint), envelopes(1)))[0]?.status).toBe('retryable');
  });

  it('a client that would retry five times is not let', async () => {
    const server = await scripted(snsError(503, 'ServiceUnavailable'));
    const config = { endpoint: server.endpoint, region: 'eu-central-1', credentials: TEST_CREDENTIALS };
    const client = new SNSClient({ ...config, maxAttempts: 5 });
    const strategy = await client.config.retryStrategy();
    const again = vi.spyOn(strategy as Retrying, 'refreshRetryTokenForRetry');
    const [receipt] = await deliver(open(server.endpoint, { client }), envelopes(1));
    expect(receipt?.status).toBe('retryable');
    expect(receipt).toHaveProperty('error.message', expect.stringContaining('ServiceUnavailable'));
    expect(server.requests).toHaveLength(1);
    // Asked once and refused: no time is lost in the SDK's own pauses either.
    expect(again.mock.settledResults).toEqual([{ type: 'rejected', value: expect.any(Error) }]);
    client.destroy();
  });

  it('what AWS repeats of the request is not shown', async () => {
    const echo = `wrong\n\nThe Canonical String was x-amz-security-token:${TEST_CREDENTIALS.secretAccessKey}`;
    for (const code of ['SignatureDoesNotMatch', 'AuthorizationError']) {
      const server = await scripted(snsError(403, code, `${TEST_CREDENTIALS.accessKeyId} is ${echo}`));
      const [receipt] = await deliver(open(server.endpoint), envelopes(1));
      const shown = receipt && 'error' in receipt ? receipt.error.message : '';
      expect(shown).toContain(code);
      expect(shown).not.toContain(TEST_CREDENTIALS.accessKeyId);
      expect(shown).not.toContain(TEST_CREDENTIALS.secretAccessKey);
    }
  });
});

describe('a far end out of reach', () => {
  it('a dead port is retryable before any abort', async () => {
    const notifier = open(`http://127.0.0.1:${await deadPort()}`);
    const [receipt] = await deliver(notifier, envelopes(1), AbortSignal.timeout(3000));
    expect(receipt?.status).toBe('retryable');
    expect(receipt).toHaveProperty('error.message', expect.stringContaining('ECONNREFUSED'));
  });

  it('a server that never answers is given up with the signal’s reason when that aborts', async () => {
    const silent = await startSilentServer();
    undo.push(silent.stop);
    const abort = new AbortController();
    const call = deliver(open(`http://127.0.0.1:${silent.port}`), envelopes(1), abort.signal);
    await silent.connected;
    const from = performance.now();
    const reason = new ShutdownError('DELIVERY_FAILED', 'the attempt is over');
    abort.abort(reason);
    const [receipt] = await call;
    expect(performance.now() - from).toBeLessThan(200);
    expect(receipt?.status).toBe('retryable');
    expect(receipt).toHaveProperty('error', reason);
    await vi.waitUntil(() => silent.open() === 0);
  });

  it('without credentials a call is retryable, and the next one looks again', async () => {
    const server = await scripted(snsPartialFailure(1, {}));
    vi.stubEnv('AWS_ACCESS_KEY_ID', undefined);
    const notifier = open(server.endpoint);
    await expect(notifier.warmUp?.()).rejects.toMatchObject({ code: 'DELIVERY_FAILED' });
    expect(await deliver(notifier, envelopes(1))).toMatchObject([
      { status: 'retryable', error: { message: expect.stringContaining('CredentialsProviderError') } },
    ]);
    vi.stubEnv('AWS_ACCESS_KEY_ID', TEST_CREDENTIALS.accessKeyId);
    expect((await deliver(notifier, envelopes(1)))[0]?.status).toBe('delivered');
    expect(server.requests).toHaveLength(1);
  });
});

describe('making one', () => {
  it('calls are signed for the topic’s region, whatever region the environment names', async () => {
    const server = await scripted(snsPartialFailure(1, {}));
    vi.stubEnv('AWS_REGION', 'us-east-1');
    const notifier = open(server.endpoint);
    await notifier.warmUp?.();
    await deliver(notifier, envelopes(1));
    const [request] = server.requests;
    expect(request?.headers.authorization).toContain('/eu-central-1/sns/aws4_request');
    expect(request?.form.get('TopicArn')).toBe(topicArn);
  });

  it('a standard topic gets a group only when asked, a FIFO one always and a deduplication id with it', async () => {
    const server = await scripted(snsPartialFailure(1, {}));
    const fifo = `${topicArn}.fifo`;
    const odd = { ...sampleEnvelope(), source: `/spaced out/${'ü'.repeat(200)}` };
    await deliver(open(server.endpoint), [odd]);
    await deliver(open(server.endpoint, { messageGroupId: 'mine' }), [odd]);
    await deliver(open(server.endpoint, { topicArn: fifo }), [odd]);
    const field = (name: string) =>
      server.requests.map(({ form }) => form.get(`PublishBatchRequestEntries.member.1.${name}`));
    expect(field('MessageGroupId')).toEqual([null, 'mine', `/spaced_out/${'_'.repeat(116)}`]);
    expect(field('MessageDeduplicationId')).toEqual([null, null, odd.id]);
  });

  const bad: readonly [string, Partial<SnsNotifierOptions>][] = [
    ['a topic name', { topicArn: 'reports' }],
    ['the ARN of a queue', { topicArn: 'arn:aws:sqs:eu-central-1:123456789012:reports' }],
    ['the ARN of a subscription', { topicArn: `${topicArn}:0f0f` }],
    ['a group with a space', { messageGroupId: 'a b' }],
    ['a group of 129 characters', { messageGroupId: 'x'.repeat(129) }],
    ['an empty name', { name: '' }],
    ['no concurrency', { maxConcurrency: 0 }],
  ];
  for (const [what, options] of bad) {
    it(`${what} is refused at once`, () => {
      const make = () => snsNotifier({ topicArn, ...options });
      expect(make).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    });
  }

  it('its limits leave room for the attributes of ten entries', () => {
    const notifier = snsNotifier({ topicArn });
    expect(notifier).toMatchObject({ name: 'sns', maxBatchSize: 10, maxConcurrency: 8 });
    expect(notifier.maxBatchBytes).toBeLessThanOrEqual(256 * 1024 - 10 * 1200);
  });

  it('where the package is missing it can be made; warmUp says what to install, deliver rejects', async () => {
    const output = await runWithoutPackages(
      'notifiers/sns',
      `import { snsNotifier } from './notifiers/sns.js';
       const notifier = snsNotifier({ topicArn: '${topicArn}' });
       const error = await notifier.warmUp().catch((error) => error);
       const signal = new AbortController().signal;
       const [receipt] = await notifier.deliver([${JSON.stringify(sampleEnvelope())}], { signal, attempt: 1 });
       console.log(error.code, '|', error.message, '|', receipt.status, receipt.error.code);`,
    );
    expect(output).toBe(
      'PACKAGE_MISSING | the SNS notifier needs a package that is not installed: ' +
        'npm install @aws-sdk/client-sns | rejected PACKAGE_MISSING',
    );
  });
});
