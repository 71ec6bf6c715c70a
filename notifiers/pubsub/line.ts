import type { PubsubClient } from '../pubsub.js';
import { loadPeer } from '../sdk/peer.js';

/** The abort signal ends a call earlier; this is for a caller that has none. */
const LONGEST_CALL_MS = 60_000;
const UNAUTHENTICATED = 16;

type Sdk = typeof import('@google-cloud/pubsub');
type Publisher = InstanceType<Sdk['v1']['PublisherClient']>;
type Stub = Awaited<ReturnType<Publisher['initialize']>>;

/** A connection that is ready to publish. */
export interface OpenLine {
  readonly publisher: Publisher;
  readonly stub: Stub;
  /** An emulator: it wants no token. */
  readonly anonymous: boolean;
}

/** One connection at a time, made when it is first wanted. */
export interface Line {
  open(): Promise<OpenLine>;
  /** The next `open` starts afresh, with a new token; calls under way end as they would have. */
  renew(used: Publisher): void;
  close(): Promise<void>;
}

/** A {@link Line} to where `client` points, else to where the SDK's environment does. */
export function createLine(projectId: string, client: PubsubClient | undefined): Line {
  let opening: Promise<OpenLine> | undefined;
  let current: Publisher | undefined;
  let closed = false;

  async function connect(): Promise<OpenLine> {
    const { PubSub, v1 } = await loadPeer(
      'Pub/Sub',
      '@google-cloud/pubsub',
      () => import('@google-cloud/pubsub'),
    );
    const config: Record<string, unknown> = {
      ...(await (client ?? new PubSub({ projectId })).getClientConfig()),
      // The SDK waits a second before it connects again: too long when seconds are all there is.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1000,
    };
    const anonymous = config.sslCreds !== undefined;
    // Unasked, the SDK looks for Google's metadata server even on the way to an emulator.
    if (anonymous) config.clientOptions ??= { universeDomain: 'googleapis.com' };
    const publisher = new v1.PublisherClient(config as ConstructorParameters<typeof v1.PublisherClient>[0]);
    // Awaited before any call: without credentials, `publish` would also leave an unhandled rejection behind.
    const stub = await publisher.initialize();
    if (closed) await publisher.close();
    else current = publisher;
    return { publisher, stub, anonymous };
  }

  return {
    open() {
      if (closed) return Promise.reject(new Error('the notifier is closed'));
      if (!opening) {
        const started = connect();
        opening = started;
        // A publisher remembers that it found no credentials; a new one looks again.
        started.catch(() => {
          if (opening === started) opening = undefined;
        });
      }
      return opening;
    },
    renew(used) {
      if (used !== current) return;
      current = undefined;
      opening = undefined;
      void used.close().catch(() => {});
    },
    async close() {
      closed = true;
      const last = current;
      current = undefined;
      await last?.close();
    },
  };
}

type PublishRequest = NonNullable<Parameters<Publisher['publish']>[0]>;
interface Cancellable {
  cancelWithStatus(code: number, details: string): void;
}

/** One call on the wire; answers with the messages' ids. Cancelled by `signal`. */
export async function publish(
  line: Line,
  request: PublishRequest,
  signal: AbortSignal,
): Promise<readonly string[]> {
  signal.throwIfAborted();
  const { publisher } = await line.open();
  const calls = new Set<Cancellable>();
  const cancel = () => {
    for (const call of calls) call.cancelWithStatus(1, 'the attempt was aborted');
  };
  // The SDK's promise has no cancel; gRPC's interceptors show the call that has one.
  const interceptor = <O>(options: O, next: (options: O) => Cancellable) => {
    signal.throwIfAborted();
    const call = next(options);
    calls.add(call);
    return call;
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    // `retry: null` is what turns retries off; without `isBundling: false` the SDK gathers calls for 10 ms.
    const callOptions = { timeout: LONGEST_CALL_MS, retry: null, isBundling: false };
    const otherArgs = { options: { interceptors: [interceptor] } };
    const [answer] = await publisher.publish(request, { ...callOptions, otherArgs });
    return answer.messageIds ?? [];
  } catch (error) {
    if ((error as { code?: unknown }).code === UNAUTHENTICATED) line.renew(publisher);
    throw error;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

/** Whether the channel is connected within `ms` milliseconds; a client made for REST has none to wait for. */
export function isReady(stub: Stub, ms: number): Promise<boolean> {
  const wait: unknown = stub.waitForReady;
  if (typeof wait !== 'function') return Promise.resolve(true);
  return new Promise((resolve) => {
    wait.call(stub, Date.now() + ms, (error?: Error) => resolve(error === undefined));
  });
}
