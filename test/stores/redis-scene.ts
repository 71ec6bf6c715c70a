import { Redis } from 'ioredis';
import { afterEach, beforeEach } from 'vitest';
import type { Tenant } from '../../src/testing/store-tenant.js';
import { redisStore } from '../../stores/redis.js';
import type { RedisServer } from '../far-ends/redis.js';
import { type MortalRedis, startMortalRedis } from './redis-mortal.js';
import { RedisPlace } from './redis-place.js';

/** Short, so that nobody waits for long. */
export const LEASE_MS = 1500;
/** A Redis that keeps all it has said yes to. */
export const APPEND_ONLY = ['--appendonly', 'yes', '--appendfsync', 'always'];

/** What tests with servers of their own need; all of it is ended after each of them, the last one first. */
export function redisScene() {
  const undo: (() => unknown)[] = [];
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });
  return {
    undo,
    async mortal(args: readonly string[] = []): Promise<MortalRedis> {
      const server = await startMortalRedis(args);
      undo.push(() => server.end());
      return server;
    },
    placeAt(port: number): RedisPlace {
      const place = new RedisPlace(port);
      undo.push(() => place.end());
      return place;
    },
    tenantIn(place: RedisPlace, url = place.url): Tenant {
      return place.tenant(redisStore({ url, leaseMs: LEASE_MS }));
    },
  };
}

/** A place in a server that several tests share: each finds it empty. */
export function freshPlaces(server: RedisServer): { readonly current: RedisPlace } {
  const place = { current: new RedisPlace(server.port) };
  beforeEach(() => {
    place.current = new RedisPlace(server.port);
  });
  afterEach(async () => {
    await place.current.end();
    const client = new Redis(server.port, '127.0.0.1');
    await client.flushall();
    client.disconnect();
  });
  return place;
}
