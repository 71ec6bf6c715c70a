import type { Redis } from 'ioredis';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { redisStore } from '../../stores/redis.js';
import { startRedis } from '../far-ends/redis.js';
import type { RedisPlace } from './redis-place.js';
import { freshPlaces } from './redis-scene.js';

const server = await startRedis();
afterAll(server.stop);

const places = freshPlaces(server);
let place: RedisPlace;
let admin: Redis;
beforeEach(() => {
  place = places.current;
  admin = place.client();
});

const idOf = (number: number) => number.toString(16).padStart(12, '0');

/** An instance with one job, whose lease is over in ten minutes. */
async function leave(number: number): Promise<void> {
  const of = `shutdown-bus:{${idOf(number)}}`;
  await admin.hset(`${of}:jobs`, 'k', 'a record');
  await admin.set(`${of}:lease`, '1', 'PX', 600_000);
  await admin.zadd('shutdown-bus:instances', Date.now() + 600_000, idOf(number));
}

describe('the lease of an instance that is known to be dead', () => {
  it('is over at once when somebody says so, and holds without it', async () => {
    await leave(1);
    const claims = place.claimer();
    expect(await claims.claim()).toEqual([]);
    await claims.expire(idOf(1));
    await claims.expire(idOf(99));
    expect(await claims.claim()).toMatchObject([{ instanceId: idOf(1) }]);
  });

  it('need not be judged by anybody: a process that has just come may not do that yet', async () => {
    const store = redisStore({ url: place.url, leaseMs: 60_000 });
    place.tenant(store);
    await leave(1);
    await leave(2);
    await store.put({ key: 'k', record: 'a record' });
    await store.expire?.(idOf(1));
    expect(await store.claimOrphans()).toMatchObject([{ instanceId: idOf(1) }]);
    expect(await store.claimOrphans()).toEqual([]);
  });

  it('is not ended by its own store', async () => {
    const store = redisStore({ url: place.url });
    const tenant = place.tenant(store);
    await store.put({ key: 'k', record: 'a record' });
    await store.expire?.(tenant.instanceId);
    expect(await admin.exists(`shutdown-bus:{${tenant.instanceId}}:lease`)).toBe(1);
  });
});
