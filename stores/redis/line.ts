import { ShutdownError } from '../../src/errors.js';

/** The part of a `Redis` or `Cluster` of ioredis that is used. */
export interface RedisClient {
  readonly status: string;
  eval(script: string, keyCount: number, ...rest: string[]): Promise<unknown>;
  on(event: 'ready' | 'close' | 'end', listener: () => void): unknown;
  off(event: 'ready' | 'close' | 'end', listener: () => void): unknown;
}

/** Who is told of a line's ups and downs. */
export interface LineListener {
  /** Scripts can be sent. */
  up(): void;
  /** They cannot, and what was sent may have been done or not. */
  down(error: Error): void;
  /** It takes long to be up. */
  slow(error: Error): void;
}

/** A connection to Redis, ours or somebody else's. */
export interface Line {
  readonly isUp: boolean;
  /** Rejects when it cannot be sent, or fails. May stay without an answer for ever. */
  eval(script: string, keys: readonly string[], args: readonly string[]): Promise<unknown>;
  /** Connects, and stays connected. */
  start(listener: LineListener): void;
  /** Somebody waits for it to be up: the process lives on while it tries. */
  await(): void;
  /** If it is down, it tries now. */
  hurry(): void;
  /** It is no good as it is: `down`, and `up` again when there is reason to hope. */
  drop(error: Error): void;
  /** Lets go. */
  close(): void;
}

/** An answer that takes longer is trouble. */
export const SLOW_MS = 1000;
/** An answer that takes longer will not come. */
export const LOST_MS = 5000;

/** How long to wait, and what for. */
export interface Patience {
  /** The process lives on meanwhile, `SLOW_MS` at most. */
  readonly holds: boolean;
  /** Then it rejects. @default LOST_MS */
  readonly limitMs?: number;
  /** Called after `SLOW_MS`. */
  readonly slow?: (error: Error) => void;
}

/** Has a script run; rejects when its answer does not come in time. */
export async function ask(
  line: Pick<Line, 'eval'>,
  script: string,
  keys: readonly string[],
  args: readonly (string | number)[],
  { holds, limitMs = LOST_MS, slow }: Patience,
): Promise<unknown> {
  const timers: (() => void)[] = [];
  const late = new Promise<never>((_resolve, reject) => {
    timers.push(startTimer(SLOW_MS, holds, () => slow?.(silence(SLOW_MS))));
    timers.push(startTimer(limitMs, false, () => reject(silence(limitMs))));
  });
  try {
    return await Promise.race([line.eval(script, keys, args.map(String)), late]);
  } finally {
    for (const end of timers) end();
  }
}

/** So often a wait looks whether the event loop runs. */
const BEATS = 10;

/**
 * Calls `over` after so many milliseconds in which the event loop ran. While it is blocked nothing is sent, and no answer is read:
 * such time counts as one tenth of the whole, however long it was. What is returned ends it.
 */
export function startTimer(ms: number, holds: boolean, over: () => void): () => void {
  let timer: NodeJS.Timeout;
  let ended = false;
  const beat = (left: number) => {
    // One turn later: after a blocked event loop the answer may be there and only wait to be read.
    timer = setTimeout(() => (left > 1 ? beat(left - 1) : setImmediate(() => ended || over())), ms / BEATS);
    if (!holds) timer.unref();
  };
  beat(BEATS);
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

/** An error of ours: those of ioredis hold the command with all it carries. */
export function failure(text: string): ShutdownError {
  return new ShutdownError('STORE_FAILED', text);
}

function silence(ms: number): Error {
  return failure(`Redis did not answer for ${ms} ms`);
}

const RETRY_MS = { first: 50, most: 1000 } as const;

/** Pauses that grow, each a little different from that of others in the same trouble. None keeps the process alive. */
export class Pauses {
  #ms: number = RETRY_MS.first;
  #upSinceMs = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  /** Calls `over` after the next one. */
  start(over: () => void): void {
    this.stop();
    if (performance.now() - this.#upSinceMs > LOST_MS) this.#ms = RETRY_MS.first;
    this.#upSinceMs = Number.POSITIVE_INFINITY;
    this.#timer = setTimeout(over, this.#ms * (0.75 + Math.random() / 2));
    this.#timer.unref();
    this.#ms = Math.min(this.#ms * 2, RETRY_MS.most);
  }

  /** Things are well: when they stay so for a while, the next one will be short. */
  up(): void {
    this.#upSinceMs = performance.now();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
