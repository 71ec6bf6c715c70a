import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPubsub } from '../far-ends/pubsub-emulator.js';
import { openInbox, type PubsubServer } from '../far-ends/pubsub-inbox.js';
import { deadPort, startSilentServer } from '../far-ends/silent-server.js';
import { type SnsServer, startSns, TEST_CREDENTIALS } from '../far-ends/sns-fauxqs.js';
import { type Ending, envelopesIn, startAndKill } from './child.js';

const JOBS = 25;
const TOPIC_ARN = 'arn:aws:sns:eu-central-1:123456789012:jobs';
const AWS = {
  AWS_ACCESS_KEY_ID: TEST_CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: TEST_CREDENTIALS.secretAccessKey,
  AWS_REGION: 'eu-central-1',
};
const WANTED = Array.from({ length: JOBS }, (_, index) => index + 1);

/** The service itself is the same for every notifier: the environment chooses. */
function shutDown(env: NodeJS.ProcessEnv): Promise<Ending> {
  return startAndKill('many-jobs.js', 'SIGTERM', {
    args: [String(JOBS)],
    env: {
      METADATA_SERVER_DETECTION: 'none',
      SHUTDOWN_BUDGET_MS: '4000',
      SHUTDOWN_RESERVE_MS: '3000',
      ...env,
    },
  });
}

const pagesOf = (texts: readonly (string | undefined)[]) =>
  texts.map((text) => JSON.parse(text ?? '').data.payload.page).sort((a, b) => a - b);

let pubsub: PubsubServer;
let sns: SnsServer;

beforeAll(async () => {
  [pubsub, sns] = await Promise.all([startPubsub(), startSns()]);
}, 60_000);

afterAll(async () => {
  await Promise.all([pubsub?.stop(), sns?.stop()]);
});

describe('configured by environment variables alone', () => {
  it('A09: Pub/Sub gets every unfinished job', async () => {
    const inbox = await openInbox(pubsub);
    const { code, stderr } = await shutDown({
      PUBSUB_EMULATOR_HOST: pubsub.host,
      SHUTDOWN_PUBSUB_TOPIC: inbox.topic,
    });
    expect(stderr).toContain(`notifier pubsub: ${JOBS} delivered, 0 rejected, 0 expired`);
    expect(pagesOf((await inbox.take(JOBS)).map(({ data }) => data))).toEqual(WANTED);
    expect(code).toBe(0);
    await inbox.close();
  });

  it('A09: SNS gets every unfinished job, and its queue too', async () => {
    const queue = await sns.openQueue();
    const { code, stderr } = await shutDown({
      ...AWS,
      AWS_ENDPOINT_URL_SNS: sns.endpoint,
      SHUTDOWN_SNS_TOPIC_ARN: queue.topicArn,
    });
    expect(stderr).toContain(`notifier sns: ${JOBS} delivered, 0 rejected, 0 expired`);
    expect(pagesOf((await queue.take(JOBS)).map(({ Body }) => Body))).toEqual(WANTED);
    expect(code).toBe(0);
  });

  it('A09: all of them at once', async () => {
    const [inbox, queue] = await Promise.all([openInbox(pubsub), sns.openQueue()]);
    const { code, stdout } = await shutDown({
      ...AWS,
      SHUTDOWN_NOTIFIERS: 'stdout,pubsub,sns',
      PUBSUB_EMULATOR_HOST: pubsub.host,
      SHUTDOWN_PUBSUB_TOPIC: inbox.topic,
      AWS_ENDPOINT_URL_SNS: sns.endpoint,
      SHUTDOWN_SNS_TOPIC_ARN: queue.topicArn,
    });
    expect(code).toBe(0);
    expect(envelopesIn(stdout)).toHaveLength(JOBS);
    expect(await inbox.take(JOBS)).toHaveLength(JOBS);
    expect(await queue.take(JOBS)).toHaveLength(JOBS);
    await inbox.close();
  });
});

describe('a dead far end ends as expired on time, its jobs on stderr', () => {
  // The SDK is there before the service says that it is ready: reading its files blocks the loop, so that a signal sent
  // meanwhile is seen later than it was sent, and the clock of this test runs from the sending.
  const loaded = (sdk: string) => ({ NODE_OPTIONS: `--import ${sdk}` });

  const mustExpire = ({ code, stdout, stderr, afterKillMs }: Ending, notifier: string) => {
    expect(stderr).toContain(`notifier ${notifier}: 0 delivered, 0 rejected, ${JOBS} expired`);
    expect(envelopesIn(stderr)).toHaveLength(JOBS);
    expect(code).toBe(1);
    expect(afterKillMs).toBeLessThan(4250);
    expect(stdout + stderr).not.toContain(TEST_CREDENTIALS.secretAccessKey);
  };

  it('Pub/Sub that nobody listens for', async () => {
    const env = {
      ...loaded('@google-cloud/pubsub'),
      PUBSUB_EMULATOR_HOST: `127.0.0.1:${await deadPort()}`,
      SHUTDOWN_PUBSUB_TOPIC: 'projects/p/topics/jobs',
    };
    mustExpire(await shutDown(env), 'pubsub');
  });

  it('Pub/Sub that never answers', async () => {
    const silent = await startSilentServer();
    const env = {
      ...loaded('@google-cloud/pubsub'),
      PUBSUB_EMULATOR_HOST: `127.0.0.1:${silent.port}`,
      SHUTDOWN_PUBSUB_TOPIC: 'projects/p/topics/jobs',
    };
    mustExpire(await shutDown(env), 'pubsub');
    await silent.stop();
  });

  it('SNS that nobody listens for', async () => {
    const env = {
      ...AWS,
      ...loaded('@aws-sdk/client-sns'),
      AWS_ENDPOINT_URL_SNS: `http://127.0.0.1:${await deadPort()}`,
      SHUTDOWN_SNS_TOPIC_ARN: TOPIC_ARN,
    };
    mustExpire(await shutDown(env), 'sns');
  });

  it('SNS that never answers', async () => {
    const silent = await startSilentServer();
    const env = {
      ...AWS,
      ...loaded('@aws-sdk/client-sns'),
      AWS_ENDPOINT_URL_SNS: `http://127.0.0.1:${silent.port}`,
      SHUTDOWN_SNS_TOPIC_ARN: TOPIC_ARN,
    };
    mustExpire(await shutDown(env), 'sns');
    await silent.stop();
  });
});
