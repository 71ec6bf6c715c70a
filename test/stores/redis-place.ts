import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { JobStore } from '../../src/store.js';
import { Tenant } from '../../src/testing/store-tenant.js';
import { BorrowedLine } from '../../stores/redis/borrowed-line.js';
import { Claims } from '../../stores/redis/claims.js';
import type { RedisClient } from '../../stores/redis/line.js';

/** Where a test's stores and clients are; all of them are closed by `end`. */
export class RedisPlace {
  readonly #port: number;
  readonly #tenants: Tenant[] = [];
  readonly #clients: { disconnect(): void }[] = [];

  constructor(port: number) {
    this.#port = port;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  /** A living process with that store. */
  tenant(store: JobStore, about = 'a living process'): Tenant {
    const tenant = new Tenant(store, randomBytes(6).toString('hex'), about);
    this.#tenants.push(tenant);
    tenant.open();
    return tenant;
  }

  /** Somebody who judges at once, and claims for a minute. */
  claimer(warnings: string[] = [], client: RedisClient = this.client()): Claims {
    return new Claims({
      line: new BorrowedLine(client),
      instanceId: 'ffffffffffff',
      prefix: 'shutdown-bus',
      leaseMs: 60_000,
      mayJudge: () => true,
      warn: (line) => void warnings.push(line),
    });
  }

  /** Somebody who looks at what Redis has. */
  client(): Redis {
    return this.keep(new Redis(this.#port, '127.0.0.1'));
  }

  keep<C extends { disconnect(): void }>(client: C): C {
    this.#clients.push(client);
    return client;
  }

  async end(): Promise<void> {
    await Promise.all(this.#tenants.map((tenant) => tenant.close()));
    for (const client of this.#clients) client.disconnect();
  }
}

/** A job as a store sees it. */
export function job(key: string) {
  return { key, record: `record of ${key}` };
}

/** Waits until something is so; fails when it is not in time. */
export async function until(what: string, isSo: () => unknown, ms = 20_000): Promise<void> {
  const endsAt = performance.now() + ms;
  while (!(await isSo())) {
    if (performance.now() > endsAt) throw new Error(`${what}: not in ${ms} ms`);
    await sleep(20);
  }
}

/** The keys of a tenant's jobs that Redis has. */
export async function jobsOf(place: RedisPlace, { instanceId }: Tenant): Promise<readonly string[]> {
  const client = new Redis(place.url);
  const keys = await client.hkeys(`shutdown-bus:{${instanceId}}:jobs`);
  client.disconnect();
  return keys.sort();
}

/** Trouble was told of, and not its end. */
export function isTroubled({ troubles }: Tenant): boolean {
  return troubles.at(-1) !== undefined;
}

/** Trouble was told of, and its end as well. */
export function isWellAgain({ troubles }: Tenant): boolean {
  return troubles.length > 0 && !troubles.at(-1);
}

/** Calls a script on Redis had so far. */
export async function evalsOf(client: Redis): Promise<number> {
  const stats = await client.info('commandstats');
  return Number(/cmdstat_eval:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}
