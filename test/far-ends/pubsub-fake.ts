import { createRequire } from 'node:module';
import {
  loadPackageDefinition,
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceClientConstructor,
  type ServiceError,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import type { PubsubServer } from './pubsub-inbox.js';

/**
 * What a fake does with a `Publish` call: store it, store it and answer without the ids, never answer it, or refuse it
 * with a gRPC code.
 */
export type PublishFate = 'take' | 'forget' | 'hang' | { readonly code: number; readonly details: string };

/** A `Publish` call as it came in. */
export interface PublishCall {
  readonly topic: string;
  readonly messages: readonly StoredMessage[];
  /** Address and port of the caller's connection. */
  readonly peer: string;
}

/** A {@link PubsubServer} that can also fail to order and counts. */
export interface PubsubFake extends PubsubServer {
  readonly kind: 'fake';
  /** Every `Publish` call so far, in order. */
  readonly calls: readonly PublishCall[];
  /** How many of them the client has cancelled. */
  cancelled(): number;
}

interface StoredMessage {
  readonly data: Buffer;
  readonly attributes: Record<string, string>;
  readonly orderingKey: string;
}

// biome-ignore lint/suspicious/noExplicitAny: made from the definitions at run time
type Handler = (call: ServerUnaryCall<any, any>, reply: sendUnaryData<any>) => void;

const require = createRequire(import.meta.url);
const protos = require.resolve('@google-cloud/pubsub/build/protos/protos.json');

/**
 * A small Pub/Sub on 127.0.0.1, speaking gRPC with the definitions that ship in `@google-cloud/pubsub`: topics,
 * pull subscriptions, `Publish`, `Pull`, `Acknowledge`. No redelivery: what was pulled is gone.
 */
export async function startPubsubFake(
  fate: (call: PublishCall, number: number) => PublishFate = () => 'take',
  /** 0 is any free one. */
  onPort = 0,
): Promise<PubsubFake> {
  const topics = new Set<string>();
  const queues = new Map<string, { topic: string; messages: StoredMessage[]; wake: () => void }>();
  const calls: PublishCall[] = [];
  let cancelled = 0;

  const publisher: Record<string, Handler> = {
    CreateTopic: unary<{ name: string }>(({ name }, reply) => {
      topics.add(name);
      reply(null, { name });
    }),
    Publish: (call, reply) => {
      const request: PublishCall = { ...call.request, peer: call.getPeer() };
      call.on('cancelled', () => {
        cancelled += 1;
      });
      const decided = fate(request, calls.push(request));
      if (decided === 'hang') return;
      if (typeof decided === 'object') return reply(refused(decided.code, decided.details));
      if (!topics.has(request.topic)) return reply(refused(5, 'Topic not found'));
      for (const queue of queues.values()) {
        if (queue.topic !== request.topic) continue;
        queue.messages.push(...request.messages);
        queue.wake();
      }
      const messageIds = request.messages.map((_, index) => `${calls.length}-${index}`);
      reply(null, { messageIds: decided === 'take' ? messageIds : [] });
    },
  };
  const subscriber: Record<string, Handler> = {
    CreateSubscription: unary<{ name: string; topic: string }>(({ name, topic }, reply) => {
      queues.set(name, { topic, messages: [], wake: () => {} });
      reply(null, { name, topic });
    }),
    Pull: (call, reply) => {
      const request = call.request as {
        subscription: string;
        maxMessages: number;
        returnImmediately: boolean;
      };
      const queue = queues.get(request.subscription);
      if (!queue) return reply(refused(5, 'Subscription not found'));
      const give = () => {
        const messages = queue.messages.splice(0, request.maxMessages);
        queue.wake = () => {};
        reply(null, { receivedMessages: messages.map((message) => ({ ackId: 'given', message })) });
      };
      if (queue.messages.length > 0 || request.returnImmediately) give();
      else queue.wake = give;
    },
    Acknowledge: unary((_, reply) => reply(null, {})),
  };

  const server = new Server({ 'grpc.max_receive_message_length': -1 });
  server.addService(serviceOf('Publisher'), publisher);
  server.addService(serviceOf('Subscriber'), subscriber);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${onPort}`, ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    kind: 'fake',
    host: `127.0.0.1:${port}`,
    calls,
    cancelled: () => cancelled,
    async stop() {
      server.forceShutdown();
    },
  };
}

function serviceOf(name: string): ServiceClientConstructor['service'] {
  const definition = fromJSON(require(protos), { defaults: true, longs: String });
  const { google } = loadPackageDefinition(definition) as unknown as {
    google: { pubsub: { v1: Record<string, ServiceClientConstructor> } };
  };
  return (google.pubsub.v1[name] as ServiceClientConstructor).service;
}

function unary<Request>(answer: (request: Request, reply: sendUnaryData<unknown>) => void): Handler {
  return (call, reply) => answer(call.request as Request, reply);
}

function refused(code: number, details: string): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata: new Metadata() });
}
