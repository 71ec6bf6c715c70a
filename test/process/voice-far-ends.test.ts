import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startFarEnd } from '../far-ends/http-server.js';
import { startPubsub } from '../far-ends/pubsub-emulator.js';
import { openInbox, type PubsubServer } from '../far-ends/pubsub-inbox.js';
import { deadPort } from '../far-ends/silent-server.js';
import { type SnsServer, startSns, TEST_CREDENTIALS } from '../far-ends/sns-fauxqs.js';
import { type Ending, envelopesIn, start, startAndKill } from './child.js';
import { all, sorted } from './subjects.js';

const JOBS = 25;
const MANY = 10_000;
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const AWS = {
  AWS_ACCESS_KEY_ID: TEST_CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: TEST_CREDENTIALS.secretAccessKey,
  AWS_REGION: 'eu-central-1',
};
const closers: (() => Promise<void>)[] = [];
let pubsub: PubsubServer;
let sns: SnsServer;

beforeAll(async () => {
  [pubsub, sns] = await Promise.all([startPubsub(), startSns()]);
}, 60_000);

afterAll(async () => {
  await Promise.all([pubsub?.stop(), sns?.stop()]);
});

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const options = (settings: { jobs?: number; payloadBytes?: number }, env: NodeJS.ProcessEnv = {}) => ({
  args: [JSON.stringify({ how: 'wait', ...settings })],
  env: {
    METADATA_SERVER_DETECTION: 'none',
    SHUTDOWN_BUDGET_MS: '6000',
    SHUTDOWN_RESERVE_MS: '3000',
    ...env,
  },
});

/** Its event loop is blocked from the signal to the end. */
const blocked = (settings: { jobs?: number; payloadBytes?: number }, env?: NodeJS.ProcessEnv) =>
  startAndKill('blocked.js', 'SIGTERM', options(settings, env));

/** Too many to be shown one by one. */
function expectAll(subjects: readonly string[]): void {
  const twice = subjects.length - new Set(subjects).size;
  expect({ got: subjects.length, twice }).toEqual({ got: MANY, twice: 0 });
}
const subjects = (texts: readonly (string | undefined)[]) =>
  sorted(texts.map((text) => JSON.parse(text ?? '').subject));

function expectDelivered({ signal, stderr }: Ending, jobs: number): void {
  expect(stderr.slice(0, 2000)).toContain(`the watchdog thread delivered ${jobs} of ${jobs} open jobs`);
  expect(envelopesIn(stderr)).toEqual([]);
  expect(signal).toBe('SIGKILL');
}

async function receiver() {
  const bodies: string[] = [];
  const signed: boolean[] = [];
  const farEnd = await startFarEnd((response, { body, headers }) => {
    bodies.push(body);
    signed.push(headers['webhook-signature'] !== undefined && headers['x-team'] === 'hunter3');
    response.writeHead(204).end();
  });
  closers.push(() => farEnd.close());
  return { bodies, signed, env: { SHUTDOWN_WEBHOOK_URL: farEnd.origin } };
}

describe('while the event loop is blocked a thread reaches', () => {
  it('A09: Pub/Sub', async () => {
    const inbox = await openInbox(pubsub);
    const env = { PUBSUB_EMULATOR_HOST: pubsub.host, SHUTDOWN_PUBSUB_TOPIC: inbox.topic };
    expectDelivered(await blocked({ jobs: JOBS }, env), JOBS);
    expect(subjects((await inbox.take(JOBS)).map(({ data }) => data))).toEqual(all(JOBS));
    await inbox.close();
  });

  it('A09: SNS, and its queue', async () => {
    const queue = await sns.openQueue();
    const env = { ...AWS, AWS_ENDPOINT_URL_SNS: sns.endpoint, SHUTDOWN_SNS_TOPIC_ARN: queue.topicArn };
    const ending = await blocked({ jobs: JOBS }, env);
    expectDelivered(ending, JOBS);
    expect(subjects((await queue.take(JOBS)).map(({ Body }) => Body))).toEqual(all(JOBS));
    expect(ending.stdout + ending.stderr).not.toContain(TEST_CREDENTIALS.secretAccessKey);
  });

  it('A09: a webhook, signed and with its headers, and the secrets are nowhere to be read', async () => {
    const { signed, env } = await receiver();
    const secrets = { SHUTDOWN_WEBHOOK_SECRET: SECRET, SHUTDOWN_WEBHOOK_HEADERS: 'x-team=hunter3' };
    const ending = await blocked({ jobs: JOBS }, { ...env, ...secrets });
    expectDelivered(ending, JOBS);
    expect(signed).toEqual([true]);
    expect(ending.stdout + ending.stderr).not.toMatch(/hunter3|MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw/);
  });

  it('all of them, and what NODE_OPTIONS preloads does not get in the way', async () => {
    const [inbox, queue] = await Promise.all([openInbox(pubsub), sns.openQueue()]);
    const { env } = await receiver();
    const ending = await blocked(
      { jobs: JOBS },
      {
        ...AWS,
        ...env,
        NODE_OPTIONS: '--import data:text/javascript,await(1)',
        SHUTDOWN_NOTIFIERS: 'stdout,webhook,pubsub,sns',
        PUBSUB_EMULATOR_HOST: pubsub.host,
        SHUTDOWN_PUBSUB_TOPIC: inbox.topic,
        AWS_ENDPOINT_URL_SNS: sns.endpoint,
        SHUTDOWN_SNS_TOPIC_ARN: queue.topicArn,
      },
    );
    expectDelivered(ending, JOBS);
    expect(envelopesIn(ending.stdout)).toHaveLength(JOBS);
    expect(await inbox.take(JOBS)).toHaveLength(JOBS);
    expect(await queue.take(JOBS)).toHaveLength(JOBS);
    await inbox.close();
  });

  it.each(['pubsub', 'sns'])('nobody, when %s is down: then every job is on stderr', async (kind) => {
    const dead = `127.0.0.1:${await deadPort()}`;
    const ending = await blocked(
      { jobs: JOBS },
      {
        ...AWS,
        SHUTDOWN_NOTIFIERS: kind,
        PUBSUB_EMULATOR_HOST: dead,
        SHUTDOWN_PUBSUB_TOPIC: 'projects/p/topics/jobs',
        AWS_ENDPOINT_URL_SNS: `http://${dead}`,
        SHUTDOWN_SNS_TOPIC_ARN: 'arn:aws:sns:eu-central-1:123456789012:jobs',
      },
    );
    expect(ending.stderr).toContain(`the watchdog thread delivered 0 of ${JOBS} open jobs`);
    expect(sorted(envelopesIn(ending.stderr).map(({ subject }) => subject))).toEqual(all(JOBS));
  });
});

describe('ten thousand jobs beside a blocked event loop', () => {
  it('reach a webhook, each once', async () => {
    const { bodies, env } = await receiver();
    expectDelivered(await blocked({ jobs: MANY }, env), MANY);
    const got = bodies.flatMap((body) => JSON.parse(body) as { subject: string }[]);
    expectAll(got.map(({ subject }) => subject));
  });

  it('reach a slow reader of stdout, every line', async () => {
    const child = start('blocked.js', { ...options({ jobs: MANY }), ownStdout: true });
    await child.line('ready');
    child.kill('SIGTERM');
    // One chunk a turn of a timer: the pipe is full nearly all of the time.
    const chunks: Buffer[] = [];
    const stdout = child.process.stdout as NonNullable<typeof child.process.stdout>;
    stdout.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      stdout.pause();
      setTimeout(() => stdout.resume(), 1);
    });
    expectDelivered(await child.ended, MANY);
    const lines = envelopesIn(Buffer.concat(chunks).toString());
    expectAll(lines.map(({ subject }) => subject));
  });

  it('are all on stderr when nobody takes them', async () => {
    const { stderr } = await blocked(
      { jobs: MANY },
      { SHUTDOWN_WEBHOOK_URL: `http://127.0.0.1:${await deadPort()}` },
    );
    expectAll(envelopesIn(stderr).map(({ subject }) => subject));
  });
});

describe('a huge payload beside a blocked event loop', () => {
  it('goes out truncated', async () => {
    const { bodies, env } = await receiver();
    const ending = await blocked({ jobs: 2, payloadBytes: 8_000_000 }, env);
    expectDelivered(ending, 2);
    const got = bodies.flatMap((body) => JSON.parse(body) as { data: Record<string, unknown> }[]);
    expect(got.map(({ data }) => [data.payload, data.truncated])).toEqual([
      [null, true],
      [null, true],
    ]);
  });
});
