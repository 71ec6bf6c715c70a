import { createRequire } from 'node:module';
import { messageOf, ShutdownError, toError } from '../../src/errors.js';
import {
  failure,
  type Line,
  type LineListener,
  LOST_MS,
  Pauses,
  type RedisClient,
  SLOW_MS,
  startTimer,
} from './line.js';

/** Where a Redis is, and who we are there. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  readonly tls: boolean;
}

interface OwnClient extends RedisClient {
  readonly stream?: { unref(): unknown; destroy(): unknown };
  connect(): Promise<void>;
  disconnect(): void;
  on(event: 'ready' | 'close' | 'end' | 'error', listener: (error: unknown) => void): OwnClient;
}

type ClientFactory = new (options: object) => OwnClient;

/**
 * A connection of our own, made anew whenever it is lost. ioredis is asked for one connection and no more: its queues, retries and timers
 * would send what is no longer true, or keep the process alive.
 *
 * ```
 * dial ──▶ up ──▶ lost or dropped ──▶ pause ──▶ dial
 *   └─────────────▶ refused, or too slow ─▲
 * ```
 */
export class OwnLine implements Line {
  readonly #address: RedisAddress;
  readonly #Client: ClientFactory;
  readonly #pauses = new Pauses();
  #client: OwnClient | undefined;
  #listener: LineListener | undefined;
  /** Ends what waits for the dial; `undefined` when none is under way. */
  #dialing: (() => void)[] | undefined;

  /** @throws {ShutdownError} `PACKAGE_MISSING` */
  constructor(address: RedisAddress) {
    this.#address = address;
    this.#Client = requireClient();
  }

  get isUp(): boolean {
    return this.#client?.status === 'ready';
  }

  async eval(script: string, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    if (this.#client === undefined) throw failure('there is no connection to Redis');
    try {
      return await this.#client.eval(script, keys.length, ...keys, ...args);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  start(listener: LineListener): void {
    this.#listener = listener;
    this.#dial();
  }

  await(): void {
    if (this.#dialing?.length === 2) this.#dialing.push(startTimer(SLOW_MS, true, () => {}));
  }

  hurry(): void {
    if (this.#client !== undefined) return;
    this.#pauses.stop();
    this.#dial();
  }

  drop(error: Error): void {
    if (this.#listener === undefined) return;
    this.#hangUp();
    this.#listener.down(error);
    this.#pauses.start(() => this.#dial());
  }

  close(): void {
    this.#listener = undefined;
    this.#pauses.stop();
    this.#hangUp();
  }

  #dial(): void {
    if (this.#listener === undefined) return;
    const client = new this.#Client(optionsFor(this.#address));
    this.#client = client;
    let reason: unknown = new Error('the connection was closed');
    client.on('error', (error) => {
      reason = error;
    });
    client.on('ready', () => this.#client === client && this.#up());
    client.on('end', () => this.#client === client && this.drop(this.#explain(reason)));
    const slow = (ms: number) => this.#explain(new Error(`no answer for ${ms} ms`));
    this.#dialing = [
      startTimer(SLOW_MS, false, () => this.#listener?.slow(slow(SLOW_MS))),
      startTimer(LOST_MS, false, () => this.drop(slow(LOST_MS))),
    ];
    client.connect().catch(() => {});
    // There is a socket by then.
    setImmediate(() => client.stream?.unref());
  }

  #up(): void {
    this.#endDial();
    this.#pauses.up();
    this.#listener?.up();
  }

  #hangUp(): void {
    this.#endDial();
    const client = this.#client;
    this.#client = undefined;
    // Its own way to disconnect waits for an answer, with a timer. Before there is a socket it is the only one.
    if (client?.stream) client.stream.destroy();
    else client?.disconnect();
  }

  #endDial(): void {
    for (const end of this.#dialing ?? []) end();
    this.#dialing = undefined;
  }

  #explain(error: unknown): Error {
    const { host, port, password } = this.#address;
    const code = (error as { code?: unknown } | undefined)?.code;
    // Of several addresses that all refused, Node tells the code only.
    const text = toError(error).message || (typeof code === 'string' ? code : messageOf(error));
    const shown = password ? text.replaceAll(password, '***') : text;
    const cure = /^(MOVED|ASK|CLUSTERDOWN) /.test(shown)
      ? '; for a cluster of several nodes, give redisStore a Cluster of ioredis as its client'
      : '';
    return failure(`Redis at ${host}:${port}: ${shown}${cure}`);
  }
}

function optionsFor({ tls, ...address }: RedisAddress): object {
  return {
    ...address,
    ...(tls && { tls: {} }),
    family: 0,
    connectionName: 'shutdown-bus',
    lazyConnect: true,
    connectTimeout: LOST_MS,
    // Scripts tell by their answer when Redis is still loading; asking beforehand needs one more right.
    enableReadyCheck: false,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    disableClientInfo: true,
  };
}

function requireClient(): ClientFactory {
  try {
    return (createRequire(import.meta.url)('ioredis') as { Redis: ClientFactory }).Redis;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    const advice = missing
      ? 'the Redis store needs a package that is not installed: npm install ioredis'
      : `ioredis is installed and cannot be loaded here: ${messageOf(error)}`;
    throw new ShutdownError('PACKAGE_MISSING', advice, { cause: error });
  }
}
