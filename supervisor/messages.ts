/** The key of everything that primary and workers say to each other: an application has messages of its own. */
const KEY = 'shutdown-bus';

/** A worker to its primary: its event loop turns, and so many requests it has begun. */
export interface Beat {
  readonly type: 'beat';
  readonly requests: number;
  /** Its event loop has turned since its program began: the first one comes before. */
  readonly isLoaded: boolean;
}

/** The primary to a worker: end, as if this signal had come. */
export interface EndOrder {
  readonly type: 'end';
  readonly signal: NodeJS.Signals;
  /** Whether what waits in the shared backlog is its business too: others are there for it otherwise. */
  readonly drainBacklog: boolean;
  /** Within so many milliseconds. @default its own budget */
  readonly budgetMs?: number;
}

type Message = Beat | EndOrder;

/** Puts a message into its envelope. */
export function write(message: Message): object {
  return { [KEY]: message };
}

/** One of ours of that type; `undefined` for anything else. */
export function read<T extends Message['type']>(
  type: T,
  envelope: unknown,
): Extract<Message, { type: T }> | undefined {
  const message = (envelope as { [KEY]?: Message } | null | undefined)?.[KEY];
  return message?.type === type ? (message as Extract<Message, { type: T }>) : undefined;
}

/** What a worker is told at its start, in one variable that it takes out of its environment at once: its own children are no workers. */
export interface WorkerOrders {
  /** Milliseconds between two beats. */
  readonly beatMs: number;
  readonly drainBacklog: boolean;
  /** Answered in every server that the application does not drain itself. */
  readonly readinessPath?: string | undefined;
  readonly livenessPath?: string | undefined;
}

/** The name of that variable. */
export const ORDERS_VARIABLE = 'SHUTDOWN_BUS_WORKER';
