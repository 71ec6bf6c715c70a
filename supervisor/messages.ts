/** The key of everything that primary and workers say to each other: an application has messages of its own. */
const KEY = 'shutdown-bus';

/** A worker to its primary: its event loop turns, and so many requests it has begun. */
export interface Beat {
  readonly type: 'beat';
  readonly requests: number;
  /** Its event loop has turned since its program began: the first one comes before. */
  readonly isLoaded: boolean;
  /** A server listens: node:cluster does not tell of one that shares its port with nobody. */
  readonly isListening: boolean;
  /** Of its bus, as soon as it has one. */
  readonly instanceId?: string | undefined;
}

/** The primary to a worker: end, as if this signal had come. */
export interface EndOrder {
  readonly type: 'end';
  readonly signal: NodeJS.Signals;
  /** Others serve in its place: the shared backlog is theirs, and the service stays ready. */
  readonly isSucceeded: boolean;
  /** Within so many milliseconds. @default its own budget */
  readonly budgetMs?: number;
}

/** The primary to a worker: it was asked to end by a signal. */
export interface Asked {
  readonly type: 'asked';
}

/** A worker to its primary: it ends, whether it was asked to or not. */
export interface Stopping {
  readonly type: 'stopping';
}

/** A worker to its primary: all of its servers have closed their listeners. */
export interface Closed {
  readonly type: 'closed';
}

/** The primary to a worker: so have all others. */
export interface AllClosed {
  readonly type: 'all-closed';
}

/** What a worker says to its primary. */
export type FromWorker = Beat | Stopping | Closed;

type Message = FromWorker | EndOrder | Asked | AllClosed;

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
  /** Signals that are the primary's alone: what they do by themselves to a process that does not listen is left out. */
  readonly ignored: readonly NodeJS.Signals[];
  /** After so many milliseconds without a turn of the event loop a thread says what blocks it. @default never */
  readonly blockedMs?: number | undefined;
  /** After so many it ends the worker, once the primary is gone. @default never */
  readonly abandonedMs?: number | undefined;
  /** Milliseconds after which one that was asked to end is killed. */
  readonly endMs: number;
  /** How lines begin that are written before the worker has a bus. */
  readonly logPrefix: string;
  /** Answered in every server that the application does not drain itself. */
  readonly readinessPath?: string | undefined;
  readonly livenessPath?: string | undefined;
}

/** The descriptor through which a worker's thread tells the primary what blocks the main one. */
export const REPORTS_FD = 4;

/** The name of that variable. */
export const ORDERS_VARIABLE = 'SHUTDOWN_BUS_WORKER';
