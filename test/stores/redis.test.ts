import { afterAll, describe, expect, it, vi } from 'vitest';
import { redisStore } from '../../stores/redis.js';
import { startRedis } from '../far-ends/redis.js';
import { evalsOf, job, until } from './redis-place.js';
import { freshPlaces } from './redis-scene.js';

vi.setConfig({ testTimeout: 60_000 });

const server = await startRedis();
afterAll(server.stop);

const place = freshPlaces(server);

describe('what is in Redis', () => {
  it('by default the keys begin with shutdown-bus, a lease is 10 s, and a heart beats twice a second', async () => {
    const store = redisStore({ url: place.current.url });
    const tenant = place.current.tenant(store);
    await tenant.put(job('a'));
    const of = `shutdown-bus:{${tenant.instanceId}}`;
    const client = place.current.client();
    expect((await client.keys('*')).sort()).toEqual([
      'shutdown-bus:instances',
      `${of}:jobs`,
      `${of}:lease`,
      `${of}:owner`,
    ]);
    const leaseMs = await client.pttl(`${of}:lease`);
    expect(leaseMs).toBeGreaterThan(7000);
    expect(leaseMs).toBeLessThanOrEqual(10_000);
    expect(store.heartbeatMs).toBe(500);
  });

  it('a short lease has a heart that beats four times in it', () => {
    expect(redisStore({ url: place.current.url, leaseMs: 1000 }).heartbeatMs).toBe(250);
  });

  it('a job is there with its last checkpoint until it is completed; a close with none left leaves nothing', async () => {
    const tenant = place.current.tenant(redisStore({ url: place.current.url, prefix: 'here' }));
    const client = place.current.client();
    await tenant.put(job('a'), job('b'));
    tenant.checkpoint('b', 'half');
    tenant.delete('a');
    await tenant.store.heartbeat?.();
    const of = `here:{${tenant.instanceId}}`;
    expect(await client.hgetall(`${of}:jobs`)).toEqual({ b: 'record of b' });
    expect(await client.hgetall(`${of}:progress`)).toEqual({ b: 'half' });
    tenant.delete('b');
    await tenant.close();
    expect(await client.keys('*')).toEqual([]);
  });

  it('what is left at close is free at once, not after its lease', async () => {
    const survivor = place.current.tenant(redisStore({ url: place.current.url, leaseMs: 1000 }));
    const leaving = place.current.tenant(redisStore({ url: place.current.url, leaseMs: 600_000 }));
    await leaving.put(job('a'));
    await leaving.close();
    expect(await survivor.claim(new Set([leaving.instanceId]), 1, 20_000)).toHaveLength(1);
  });

  it('what is set aside is there for a person to look at, and nothing else of its instance', async () => {
    const survivor = place.current.tenant(redisStore({ url: place.current.url, leaseMs: 1000 }));
    const leaving = place.current.tenant(redisStore({ url: place.current.url }));
    await leaving.put({ ...job('a'), progress: 'half' });
    await leaving.close();
    await survivor.claim(new Set([leaving.instanceId]), 1, 20_000);
    await survivor.store.setAside?.([`${leaving.instanceId}/a`]);
    await survivor.close();
    const client = place.current.client();
    const key = `shutdown-bus:{${leaving.instanceId}}:aside`;
    expect(await client.keys('*')).toEqual([key]);
    expect(JSON.parse((await client.hget(key, 'a')) ?? '')).toEqual({
      record: 'record of a',
      progress: 'half',
    });
  });
});

describe('how much is said', () => {
  it('of a job that is begun and completed in one turn nothing; of a thousand in one turn one script', async () => {
    const tenant = place.current.tenant(redisStore({ url: place.current.url, leaseMs: 600_000 }));
    const client = place.current.client();
    await tenant.put(job('first'));
    const before = await evalsOf(client);
    void tenant.put(job('short'));
    tenant.checkpoint('short', 'half');
    tenant.delete('short');
    const list = Array.from({ length: 1000 }, (_, index) => job(String(index)));
    await tenant.put(...list);
    expect(await evalsOf(client)).toBe(before + 1);
    expect(await client.hlen(`shutdown-bus:{${tenant.instanceId}}:jobs`)).toBe(1001);
  });
});

describe('an owner that was silent for longer than its lease, and comes back', () => {
  it('writes all of its jobs again; what its claimer still had in hand is the owner’s again', async () => {
    const survivor = place.current.tenant(redisStore({ url: place.current.url, leaseMs: 1000 }));
    const owner = place.current.tenant(redisStore({ url: place.current.url, leaseMs: 1000 }));
    await owner.put(job('a'), job('b'));
    owner.fallSilent();
    await survivor.claim(new Set([owner.instanceId]), 2, 20_000);
    await owner.store.heartbeat?.();
    await until('it is well again', () => owner.troubles.at(-1) === undefined && owner.troubles.length > 0);
    expect(String(owner.troubles[0])).toContain(
      'Redis has not heard of this process for its lease of 1000 ms',
    );
    // Too late: job b may be another one by now.
    await survivor.store.markDelivered([`${owner.instanceId}/a`, `${owner.instanceId}/b`]);
    const client = place.current.client();
    const key = `shutdown-bus:{${owner.instanceId}}:jobs`;
    expect(await client.hgetall(key)).toEqual({ a: 'record of a', b: 'record of b' });
    owner.delete('a');
    await owner.put(job('c'));
    expect(Object.keys(await client.hgetall(key)).sort()).toEqual(['b', 'c']);
  });

  it('a claimer that delivers in time leaves it nothing to report', async () => {
    const survivor = place.current.tenant(redisStore({ url: place.current.url, leaseMs: 1000 }));
    const owner = place.current.tenant(redisStore({ url: place.current.url, leaseMs: 1000 }));
    await owner.put(job('a'));
    owner.fallSilent();
    await survivor.claim(new Set([owner.instanceId]), 1, 20_000);
    await survivor.store.markDelivered([`${owner.instanceId}/a`]);
    expect((await place.current.client().keys('*')).filter((key) => key.includes(owner.instanceId))).toEqual(
      [],
    );
  });
});

describe('keys that disappear under a living process', () => {
  it.each(['jobs', 'owner', 'lease'])(
    '%s: the next heartbeat notices, and writes all again',
    async (part) => {
      const tenant = place.current.tenant(redisStore({ url: place.current.url, leaseMs: 600_000 }));
      await tenant.put(job('a'), job('b'));
      const client = place.current.client();
      const of = `shutdown-bus:{${tenant.instanceId}}`;
      await client.del(`${of}:${part}`);
      await tenant.store.heartbeat?.();
      await until('all is there again', async () => (await client.hlen(`${of}:jobs`)) === 2);
      expect(await client.exists(`${of}:lease`, `${of}:owner`)).toBe(2);
      if (part === 'jobs') expect(String(tenant.troubles[0])).toContain('Redis holds 0 of 2 open jobs');
      await until('it is well again', () => tenant.troubles.length === 2 && tenant.troubles[1] === undefined);
    },
  );
});
