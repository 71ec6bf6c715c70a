import { randomBytes } from 'node:crypto';
import { PubSub, v1 } from '@google-cloud/pubsub';

/** A Pub/Sub server on 127.0.0.1: the official emulator, or the fake in its place. */
export interface PubsubServer {
  readonly kind: 'emulator' | 'fake';
  /** `127.0.0.1:<port>` */
  readonly host: string;
  stop(): Promise<void>;
}

/** A message as a subscriber gets it. */
export interface PubsubMessage {
  readonly data: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly orderingKey: string;
}

/** A topic with one subscription that keeps the order. */
export interface PubsubInbox {
  /** `projects/p/topics/t`, its name never used before. */
  readonly topic: string;
  /** Waits up to ten seconds for `count` messages; gives those and the surplus ones that are there by then. */
  take(count: number): Promise<readonly PubsubMessage[]>;
  close(): Promise<void>;
}

/** How a `PubSub` is told where the server is. */
export function pubsubAt(host: string): PubSub {
  return new PubSub({ projectId: 'inbox', apiEndpoint: host });
}

/** Makes a topic and its subscription over the real protocol, so it serves the emulator and the fake alike. */
export async function openInbox({ host }: PubsubServer): Promise<PubsubInbox> {
  const unique = randomBytes(6).toString('hex');
  const topic = `projects/inbox/topics/t-${unique}`;
  const subscription = `projects/inbox/subscriptions/s-${unique}`;
  const config = (await pubsubAt(host).getClientConfig()) as ConstructorParameters<
    typeof v1.PublisherClient
  >[0];
  const publisher = new v1.PublisherClient(config);
  const subscriber = new v1.SubscriberClient(config);
  await publisher.createTopic({ name: topic });
  await subscriber.createSubscription({
    name: subscription,
    topic,
    ackDeadlineSeconds: 600,
    enableMessageOrdering: true,
  });

  async function pull(timeout: number): Promise<PubsubMessage[]> {
    const request = { subscription, maxMessages: 1000, returnImmediately: timeout === 0 };
    const [{ receivedMessages }] = await subscriber
      .pull(request, { timeout: timeout || 5000, retry: null })
      .catch((error: { code?: number }) => {
        // A pull that waited in vain.
        if (error.code === 4) return [{ receivedMessages: [] }];
        throw error;
      });
    const got = receivedMessages ?? [];
    if (got.length > 0) {
      await subscriber.acknowledge({ subscription, ackIds: got.map(({ ackId }) => ackId as string) });
    }
    return got.map(({ message }) => ({
      data: Buffer.from(message?.data as Uint8Array).toString(),
      attributes: { ...message?.attributes },
      orderingKey: message?.orderingKey ?? '',
    }));
  }

  return {
    topic,
    async take(count) {
      const messages: PubsubMessage[] = [];
      const end = Date.now() + 10_000;
      while (messages.length < count && Date.now() < end) messages.push(...(await pull(end - Date.now())));
      if (messages.length < count) throw new Error(`${messages.length} of ${count} messages arrived in 10 s`);
      messages.push(...(await pull(0)));
      return messages;
    },
    async close() {
      await Promise.all([publisher.close(), subscriber.close()]);
    },
  };
}
