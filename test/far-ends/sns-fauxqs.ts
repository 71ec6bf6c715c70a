import { randomBytes } from 'node:crypto';
import { CreateTopicCommand, SNSClient, SubscribeCommand } from '@aws-sdk/client-sns';
import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  type Message,
  ReceiveMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { buildApp } from 'fauxqs';

/** Credentials as AWS writes them; nobody checks them here. */
export const TEST_CREDENTIALS = {
  accessKeyId: 'AKIAEXAMPLEEXAMPLE77',
  secretAccessKey: 'nobody-must-read-this-secret-key',
} as const;

const REGION = 'eu-central-1';

/** SNS and SQS on 127.0.0.1. */
export interface SnsServer {
  readonly endpoint: string;
  /** An `SNSClient` for it, in the topics' region. */
  client(): SNSClient;
  /** Makes a topic and a queue that is subscribed to it. */
  openQueue(options?: QueueOptions): Promise<SnsQueue>;
  stop(): Promise<void>;
}

/** What kind of topic and subscription. */
export interface QueueOptions {
  readonly fifo?: boolean;
  /** The queue gets our message and attributes as they are, not SNS's notification around them. @default true */
  readonly raw?: boolean;
}

/** The queue at the end of a topic. */
export interface SnsQueue {
  /** A name never used before. */
  readonly topicArn: string;
  /** Waits up to ten seconds for `count` messages; gives those and the surplus ones that are there by then. */
  take(count: number): Promise<readonly Message[]>;
}

/** Starts fauxqs in this process. Its own `startFauxqs` listens on all interfaces, so its app is listened with here. */
export async function startSns(): Promise<SnsServer> {
  const app = buildApp({ logger: false });
  const endpoint = await app.listen({ port: 0, host: '127.0.0.1' });
  const config = { endpoint, region: REGION, credentials: TEST_CREDENTIALS };
  const sns = new SNSClient(config);
  const sqs = new SQSClient({ ...config, useQueueUrlAsEndpoint: false });
  return {
    endpoint,
    client: () => new SNSClient(config),
    openQueue: (options) => openQueue(sns, sqs, options),
    async stop() {
      sns.destroy();
      sqs.destroy();
      await app.close();
    },
  };
}

async function openQueue(
  sns: SNSClient,
  sqs: SQSClient,
  { fifo = false, raw = true }: QueueOptions = {},
): Promise<SnsQueue> {
  const name = `t-${randomBytes(6).toString('hex')}${fifo ? '.fifo' : ''}`;
  const topicAttributes = fifo ? { FifoTopic: 'true' } : undefined;
  const queueAttributes = fifo ? { FifoQueue: 'true' } : undefined;
  const { TopicArn } = await sns.send(new CreateTopicCommand({ Name: name, Attributes: topicAttributes }));
  const { QueueUrl } = await sqs.send(
    new CreateQueueCommand({ QueueName: name, Attributes: queueAttributes }),
  );
  const topicArn = TopicArn as string;
  await sns.send(
    new SubscribeCommand({
      TopicArn,
      Protocol: 'sqs',
      Endpoint: topicArn.replace(':sns:', ':sqs:'),
      Attributes: { RawMessageDelivery: String(raw) },
    }),
  );

  async function receive(WaitTimeSeconds: number): Promise<Message[]> {
    const { Messages = [] } = await sqs.send(
      new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: 10,
        WaitTimeSeconds,
        MessageAttributeNames: ['All'],
        MessageSystemAttributeNames: ['All'],
      }),
    );
    if (Messages.length > 0) {
      const Entries = Messages.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle }));
      await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
    }
    return Messages;
  }

  return {
    topicArn,
    async take(count) {
      const messages: Message[] = [];
      const end = Date.now() + 10_000;
      while (messages.length < count && Date.now() < end) messages.push(...(await receive(1)));
      if (messages.length < count) throw new Error(`${messages.length} of ${count} messages arrived in 10 s`);
      for (let more = await receive(0); more.length > 0; more = await receive(0)) messages.push(...more);
      return messages;
    },
  };
}
