import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { Redis } from 'ioredis';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { isShutdownError } from '../../src/errors.js';
import { Tenant } from '../../src/testing/store-tenant.js';
import { type RedisStoreOptions, redisStore } from '../../stores/redis.js';
import { runWithoutPackages } from '../far-ends/bare-install.js';
import { startRedis } from '../far-ends/redis.js';
import { job, until } from './redis-place.js';
import { freshPlaces } from './redis-scene.js';

vi.setConfig({ testTimeout: 60_000 });

const server = await startRedis();
afterAll(server.stop);

const place = freshPlaces(server);

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
      place.current.keep(new Redis(server.port, '127.0.0.1', { keyPrefix })),
    ) as [Redis, Redis];
    const options = { leaseMs: 1000 };
    const leaving = place.current.tenant(redisStore({ ...options, client: here }));
    const [friend, stranger] = [here, there].map((client) =>
      place.current.tenant(redisStore({ ...options, client })),
    );
    await leaving.put(job('a'));
    const client = place.current.client();
    expect((await client.keys('*')).every((key) => /^(here|there):shutdown-bus:/.test(key))).toBe(true);
    await leaving.close();
    expect(await friend?.claim(new Set([leaving.instanceId]), 1, 20_000)).toHaveLength(1);
    expect(stranger?.claimed).toEqual([]);
    await stranger?.look();
    expect(stranger?.claimed).toEqual([]);
  });

  it('is left open, and as it was', async () => {
    const client = place.current.keep(new Redis(server.port, '127.0.0.1'));
    client.on('ready', () => {});
    const counts = () => ['ready', 'close', 'end', 'error'].map((event) => client.listenerCount(event));
    const before = counts();
    const tenant = place.current.tenant(redisStore({ client }));
    await tenant.put(job('a'));
    expect(client.listenerCount('error')).toBe(before[3]);
    await tenant.close();
    expect(counts()).toEqual(before);
    expect(await client.ping()).toBe('PONG');
  });

  it('one that connects when it is used is used', async () => {
    const client = place.current.keep(new Redis(server.port, '127.0.0.1', { lazyConnect: true }));
    await place.current.tenant(redisStore({ client })).put(job('a'));
  });

  it('one that refuses every call is asked again after pauses, and holds up nothing; when it does no more, all is well', async () => {
    const client = place.current.keep(new Redis(server.port, '127.0.0.1'));
    await client.ping();
    // As one does that takes nothing but subscriptions: without asking Redis.
    const refuse = () => Promise.reject(new Error('not in subscriber mode'));
    const calls = vi.spyOn(client, 'eval').mockImplementation(refuse);
    const tenant = place.current.tenant(redisStore({ client }));
    const stored = tenant.put(job('a'));
    await until('the trouble is told', () => tenant.troubles.length > 0);
    await sleep(500);
    expect(calls.mock.calls.length).toBeGreaterThan(1);
    expect(calls.mock.calls.length).toBeLessThan(15);
    calls.mockRestore();
    await stored;
    expect(tenant.troubles.at(-1)).toBeUndefined();
  });

  it('one that its owner closed is said to be closed, and holds nothing up', async () => {
    const client = place.current.keep(new Redis(server.port, '127.0.0.1'));
    const tenant = place.current.tenant(redisStore({ client }));
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

describe('a store that is given to two buses', () => {
  it('refuses the second one, and keeps the jobs of the first', async () => {
    const store = redisStore({ url: place.current.url, leaseMs: 600_000 });
    const first = place.current.tenant(store);
    const second = new Tenant(store, 'ffffffffffff', 'another one');
    expect(() => second.open()).toThrow('one store object belongs to one bus');
    await first.put(job('1'));
    expect(await place.current.client().hkeys(`shutdown-bus:{${first.instanceId}}:jobs`)).toEqual(['1']);
    await first.close();
    expect(() => second.open()).toThrow('one store object belongs to one bus');
  });

  it('one that could not be opened may be opened again', async () => {
    const client = place.current.keep(new Redis(server.port, '127.0.0.1'));
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
