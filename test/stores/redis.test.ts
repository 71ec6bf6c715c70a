import { inspect } from 'node:util';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { isShutdownError } from '../../src/errors.js';
import { Tenant } from '../../src/testing/store-tenant.js';
import { type RedisStoreOptions, redisStore } from '../../stores/redis.js';
import { runWithoutPackages } from '../far-ends/bare-install.js';
import { startRedis } from '../far-ends/redis.js';
import { evalsOf, job, RedisPlace, until } from './redis-place.js';

vi.setConfig({ testTimeout: 60_000 });

const server = await startRedis();
afterAll(server.stop);

let place: RedisPlace;
beforeEach(() => {
  place = new RedisPlace(server.port);
});
afterEach(async () => {
  await place.end();
  const client = new Redis(server.port, '127.0.0.1');
  await client.flushall();
  client.disconnect();
});

describe('what is in Redis', () => {
  it('by default the keys begin with shutdown-bus, a lease is 10 s, and a heart beats twice a second', async () => {
    const store = redisStore({ url: place.url });
    const tenant = place.tenant(store);
    await tenant.put(job('a'));
    const of = `shutdown-bus:{${tenant.instanceId}}`;
    const client = place.client();
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
    expect(redisStore({ url: place.url, leaseMs: 1000 }).heartbeatMs).toBe(250);
  });

  it('a job is there with its last checkpoint until it is completed; a close with none left leaves nothing', async () => {
    const tenant = place.tenant(redisStore({ url: place.url, prefix: 'here' }));
    const client = place.client();
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
    const survivor = place.tenant(redisStore({ url: place.url, leaseMs: 1000 }));
    const leaving = place.tenant(redisStore({ url: place.url, leaseMs: 600_000 }));
    await leaving.put(job('a'));
    await leaving.close();
    expect(await survivor.claim(new Set([leaving.instanceId]), 1, 20_000)).toHaveLength(1);
  });

  it('what is set aside is there for a person to look at, and nothing else of its instance', async () => {
    const survivor = place.tenant(redisStore({ url: place.url, leaseMs: 1000 }));
    const leaving = place.tenant(redisStore({ url: place.url }));
    await leaving.put({ ...job('a'), progress: 'half' });
    await leaving.close();
    await survivor.claim(new Set([leaving.instanceId]), 1, 20_000);
    await survivor.store.setAside?.([`${leaving.instanceId}/a`]);
    await survivor.close();
    const client = place.client();
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
    const tenant = place.tenant(redisStore({ url: place.url, leaseMs: 600_000 }));
    const client = place.client();
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

describe('its options', () => {
  const password = 'hunter%202';

  it.each<[string, RedisStoreOptions]>([
    ['neither url nor client', {}],
    ['url and client', { url: 'redis://h', client: new Redis({ lazyConnect: true }) }],
    ['no address', { url: `no address ${password}` }],
    ['an address of something else', { url: `https://user:${password}@host` }],
    ['an address without a host', { url: `redis://:${password}@` }],
    ['an address with settings', { url: `redis://:${password}@host?family=6` }],
    ['a database that is no number', { url: `redis://:${password}@host/first` }],
    ['a % that stands for nothing', { url: 'redis://:hunter%2@host' }],
    ['a client that is none', { client: {} as never }],
    ['a prefix with braces', { url: 'redis://h', prefix: '{here}' }],
    ['an empty prefix', { url: 'redis://h', prefix: '' }],
    ['a lease that is too short', { url: 'redis://h', leaseMs: 999 }],
    ['a lease that is too long', { url: 'redis://h', leaseMs: 3_600_001 }],
    ['half a millisecond', { url: 'redis://h', leaseMs: 1000.5 }],
    ['one that is misspelt', { url: 'redis://h', lease: 1000 } as never],
  ])('%s is refused, with advice and without a secret', (_what, options) => {
    let thrown: unknown;
    try {
      redisStore(options);
    } catch (error) {
      thrown = error;
    }
    expect(isShutdownError(thrown, 'INVALID_OPTION')).toBe(true);
    expect((thrown as Error).message).toMatch(/^redisStore: .*(allowed|either|instead)/);
    expect(inspect(thrown, { depth: 9, showHidden: true })).not.toContain('hunter');
  });

  it('where ioredis is missing it says what to install', async () => {
    const output = await runWithoutPackages(
      'stores/redis',
      `import { redisStore } from './stores/redis.js';
       try { redisStore({ url: 'redis://127.0.0.1' }); } catch ({ code, message }) { console.log(code, '|', message); }`,
    );
    expect(output).toBe(
      'PACKAGE_MISSING | the Redis store needs a package that is not installed: npm install ioredis',
    );
  });
});

describe('a client of the application', () => {
  it('is used with its key prefix, and those of another prefix are strangers', async () => {
    const [here, there] = ['here:', 'there:'].map((keyPrefix) =>
      place.keep(new Redis(server.port, '127.0.0.1', { keyPrefix })),
    ) as [Redis, Redis];
    const options = { leaseMs: 1000 };
    const leaving = place.tenant(redisStore({ ...options, client: here }));
    const [friend, stranger] = [here, there].map((client) =>
      place.tenant(redisStore({ ...options, client })),
    );
    await leaving.put(job('a'));
    const client = place.client();
    expect((await client.keys('*')).every((key) => /^(here|there):shutdown-bus:/.test(key))).toBe(true);
    await leaving.close();
    expect(await friend?.claim(new Set([leaving.instanceId]), 1, 20_000)).toHaveLength(1);
    expect(stranger?.claimed).toEqual([]);
    await stranger?.look();
    expect(stranger?.claimed).toEqual([]);
  });

  it('is left open, and as it was', async () => {
    const client = place.keep(new Redis(server.port, '127.0.0.1'));
    client.on('ready', () => {});
    const counts = () => ['ready', 'close', 'end', 'error'].map((event) => client.listenerCount(event));
    const before = counts();
    const tenant = place.tenant(redisStore({ client }));
    await tenant.put(job('a'));
    expect(client.listenerCount('error')).toBe(before[3]);
    await tenant.close();
    expect(counts()).toEqual(before);
    expect(await client.ping()).toBe('PONG');
  });

  it('one that connects when it is used is used', async () => {
    const client = place.keep(new Redis(server.port, '127.0.0.1', { lazyConnect: true }));
    await place.tenant(redisStore({ client })).put(job('a'));
  });

  it('one that its owner closed is said to be closed, and holds nothing up', async () => {
    const client = place.keep(new Redis(server.port, '127.0.0.1'));
    const tenant = place.tenant(redisStore({ client }));
    await tenant.put(job('a'));
    await client.quit();
    await until('the trouble is told', () => tenant.troubles.length > 0);
    expect(String(tenant.troubles[0])).toContain(
      'the connection of the client that redisStore was given is closed',
    );
    void tenant.put(job('b'));
    await tenant.store.heartbeat?.();
    expect(await tenant.look()).toEqual([]);
    const startedMs = performance.now();
    await tenant.close();
    expect(performance.now() - startedMs).toBeLessThan(500);
  });
});

describe('an owner that was silent for longer than its lease, and comes back', () => {
  it('writes all of its jobs again; what its claimer still had in hand is the owner’s again', async () => {
    const survivor = place.tenant(redisStore({ url: place.url, leaseMs: 1000 }));
    const owner = place.tenant(redisStore({ url: place.url, leaseMs: 1000 }));
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
    const client = place.client();
    const key = `shutdown-bus:{${owner.instanceId}}:jobs`;
    expect(await client.hgetall(key)).toEqual({ a: 'record of a', b: 'record of b' });
    owner.delete('a');
    await owner.put(job('c'));
    expect(Object.keys(await client.hgetall(key)).sort()).toEqual(['b', 'c']);
  });

  it('a claimer that delivers in time leaves it nothing to report', async () => {
    const survivor = place.tenant(redisStore({ url: place.url, leaseMs: 1000 }));
    const owner = place.tenant(redisStore({ url: place.url, leaseMs: 1000 }));
    await owner.put(job('a'));
    owner.fallSilent();
    await survivor.claim(new Set([owner.instanceId]), 1, 20_000);
    await survivor.store.markDelivered([`${owner.instanceId}/a`]);
    expect((await place.client().keys('*')).filter((key) => key.includes(owner.instanceId))).toEqual([]);
  });
});

describe('a store that is given to two buses', () => {
  it('refuses the second one, and keeps the jobs of the first', async () => {
    const store = redisStore({ url: place.url, leaseMs: 600_000 });
    const first = place.tenant(store);
    const second = new Tenant(store, 'ffffffffffff', 'another one');
    expect(() => second.open()).toThrow('one store object belongs to one bus');
    await first.put(job('1'));
    expect(await place.client().hkeys(`shutdown-bus:{${first.instanceId}}:jobs`)).toEqual(['1']);
    await first.close();
    expect(() => second.open()).toThrow('one store object belongs to one bus');
  });

  it('one that could not be opened may be opened again', async () => {
    const client = place.keep(new Redis(server.port, '127.0.0.1'));
    await client.ping();
    const on = vi.spyOn(client, 'on').mockImplementationOnce(() => {
      throw new Error('not now');
    });
    const tenant = new Tenant(redisStore({ client, leaseMs: 600_000 }), 'ffffffffffff', 'a living process');
    expect(() => tenant.open()).toThrow('not now');
    tenant.open();
    expect(on).toHaveBeenCalledTimes(4);
    await tenant.put(job('a'));
    await tenant.close();
  });
});

describe('keys that disappear under a living process', () => {
  it.each(['jobs', 'owner', 'lease'])(
    '%s: the next heartbeat notices, and writes all again',
    async (part) => {
      const tenant = place.tenant(redisStore({ url: place.url, leaseMs: 600_000 }));
      await tenant.put(job('a'), job('b'));
      const client = place.client();
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
