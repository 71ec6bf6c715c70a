import { type OptionNames, refuseMisspelt, ShutdownError, show } from '../../src/errors.js';
import type { RedisClient } from './line.js';
import type { RedisAddress } from './own-line.js';

/** Where and how {@link redisStore} keeps jobs: either `url` or `client`. */
export interface RedisStoreOptions {
  /** `redis://[user:password@]host[:port][/database]`, with TLS `rediss://…`. */
  readonly url?: string;
  /**
   * An existing `Redis` or `Cluster` of ioredis, for all that an address cannot say: a cluster of several nodes, Sentinel, certificates
   * of your own. It is used as it is and never closed; close it after the shutdown, not in it.
   */
  readonly client?: RedisClient;
  /**
   * What all keys begin with. Processes of one prefix report each other's jobs, so they should have the same notifiers.
   * No braces. @default 'shutdown-bus'
   */
  readonly prefix?: string;
  /**
   * How long a process may be silent before others take it for dead and report its jobs. Too short for a blocked event loop, a
   * paused container or a slow Redis, and jobs of the living are reported. 1000 to 3600000 ms. @default 10000
   */
  readonly leaseMs?: number;
}

/** The same, checked. */
export interface RedisSettings {
  readonly place: RedisAddress | RedisClient;
  readonly prefix: string;
  readonly leaseMs: number;
}

const NAMES: OptionNames<RedisStoreOptions> = { url: true, client: true, prefix: true, leaseMs: true };
const PREFIX = /^[^{}\s]{1,200}$/;

/** @throws {ShutdownError} `INVALID_OPTION` */
export function checked(options: RedisStoreOptions): RedisSettings {
  refuseMisspelt('redisStore', options, NAMES);
  const { url, client, prefix = 'shutdown-bus', leaseMs = 10_000 } = options;
  if (typeof prefix !== 'string' || !PREFIX.test(prefix))
    throw invalid(`prefix is ${show(prefix)}; allowed: 1 to 200 characters without braces and spaces`);
  if (!Number.isInteger(leaseMs) || leaseMs < 1000 || leaseMs > 3_600_000)
    throw invalid(`leaseMs is ${show(leaseMs)}; allowed: whole milliseconds from 1000 to 3600000`);
  if ((url === undefined) === (client === undefined))
    throw invalid('it needs a place: either url, such as "redis://localhost:6379", or client, and not both');
  return { place: client === undefined ? addressOf(url) : checkedClient(client), prefix, leaseMs };
}

function checkedClient(client: unknown): RedisClient {
  const { status, eval: run, on, off } = (client ?? {}) as Partial<Record<keyof RedisClient, unknown>>;
  if (typeof status === 'string' && [run, on, off].every((method) => typeof method === 'function'))
    return client as RedisClient;
  throw invalid('client is none; allowed: a Redis or a Cluster of ioredis');
}

/** The address is never shown: it may hold a password. */
function addressOf(text: unknown): RedisAddress {
  const allowed = 'allowed: redis://[user:password@]host[:port][/database], with TLS rediss://';
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^rediss?:$/.test(url.protocol) || url.hostname === '')
    throw invalid(`url is no address of a Redis; ${allowed}`);
  if (url.search !== '' || url.hash !== '')
    throw invalid('url has settings after its path, which mean nothing here; give a client instead');
  const database = url.pathname.replace(/^\//, '');
  if (!/^\d{0,4}$/.test(database)) throw invalid(`url has no number for its database; ${allowed}`);
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port || 6379),
    ...credentials(url, allowed),
    db: Number(database),
    tls: url.protocol === 'rediss:',
  };
}

function credentials({ username, password }: URL, allowed: string): { username?: string; password?: string } {
  try {
    return {
      ...(username !== '' && { username: decodeURIComponent(username) }),
      ...(password !== '' && { password: decodeURIComponent(password) }),
    };
  } catch {
    throw invalid(`url has a name or password with a % that stands for nothing, write it as %25; ${allowed}`);
  }
}

function invalid(text: string): ShutdownError {
  return new ShutdownError('INVALID_OPTION', `redisStore: ${text}`);
}
