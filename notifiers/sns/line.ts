import { loadPeer } from '../sdk/peer.js';
import type { SnsClient } from '../sns.js';

type Sdk = typeof import('@aws-sdk/client-sns');
type PublishBatchCommand = InstanceType<Sdk['PublishBatchCommand']>;

/** A client, and the SDK to make its commands with. */
export interface OpenLine {
  readonly client: SnsClient;
  readonly sdk: Sdk;
}

/** The way to SNS. */
export interface Line {
  /** Loads the SDK; without a client given, makes one for `region`. */
  open(): Promise<OpenLine>;
  /** Looks up credentials and region, where the client lets that be asked. */
  resolve(): Promise<void>;
  close(): void;
}

/** A {@link Line} through `given`, else through a client of its own. */
export function createLine(region: string, given: SnsClient | undefined): Line {
  let own: InstanceType<Sdk['SNSClient']> | undefined;
  let closed = false;

  async function open(): Promise<OpenLine> {
    const sdk = await loadPeer('SNS', '@aws-sdk/client-sns', () => import('@aws-sdk/client-sns'));
    if (closed) throw new Error('the notifier is closed');
    if (given) return { client: given, sdk };
    own ??= new sdk.SNSClient({ region, maxAttempts: 1 });
    return { client: own, sdk };
  }

  return {
    open,
    async resolve() {
      const { config } = (await open()).client as Partial<InstanceType<Sdk['SNSClient']>>;
      await Promise.all([config?.credentials(), config?.region()]);
    },
    close() {
      closed = true;
      own?.destroy();
      own = undefined;
    },
  };
}

/** One try on the wire, whatever the retry settings of a client that was passed in. */
export function onlyOnce(command: PublishBatchCommand): PublishBatchCommand {
  let failure: NotRetried | undefined;
  const oneTry = (next: (args: never) => Promise<unknown>) => async (args: never) => {
    if (failure) throw failure;
    try {
      return await next(args);
    } catch (error) {
      // Inside the SDK's retry loop: an error of a kind that it does not know, without a cause, is not tried again.
      failure = new NotRetried(error);
      throw failure;
    }
  };
  const place = { relation: 'after', toMiddleware: 'retryMiddleware', name: 'shutdownBusOnlyOnce' } as const;
  command.middlewareStack.addRelativeTo(oneTry as unknown as RetriedMiddleware, place);
  return command;
}

type RetriedMiddleware = Parameters<PublishBatchCommand['middlewareStack']['addRelativeTo']>[0];

/** Around what was thrown for a command that went through {@link onlyOnce}. */
export class NotRetried extends Error {
  readonly thrown: unknown;
  constructor(thrown: unknown) {
    super('not retried by the SDK');
    this.thrown = thrown;
  }
}
