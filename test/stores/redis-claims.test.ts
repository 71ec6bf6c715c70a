import { Redis } from 'ioredis';
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Claims } from '../../stores/redis/claims.js';
import type { RedisClient } from '../../stores/redis/line.js';
import { SETTLE } from '../../stores/redis/scripts.js';
import { redisStore } from '../../stores/redis.js';
import { startRedis } from '../far-ends/redis.js';
import { startTcpProxy } from '../far-ends/tcp-proxy.js';
import type { RedisPlace } from './redis-place.js';
import { freshPlaces } from './redis-scene.js';

vi.setConfig({ testTimeout: 60_000 });

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

/** Dead instances with one job each, `from` that number on; who claimed them lives. */
async function leave(count: number, { from = 0, holder }: { from?: number; holder?: string } = {}) {
  const pipeline = admin.pipeline();
  for (let number = from; number < from + count; number += 1) {
    const of = `shutdown-bus:{${idOf(number)}}`;
    pipeline.hset(`${of}:jobs`, 'k', 'a record');
    pipeline.zadd('shutdown-bus:instances', 1 + number, idOf(number));
    if (holder !== undefined) pipeline.set(`${of}:claim`, holder, 'PX', 600_000);
  }
  await pipeline.exec();
}

/** How often Redis did that, while something else was done. */
async function callsOf(command: string, work: () => Promise<unknown>): Promise<number> {
  await admin.config('RESETSTAT');
  await work();
  const found = new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await admin.info('commandstats'));
  return Number(found?.[1] ?? 0);
}

/** A look ends after a second: on a busy machine it takes more of them. */
const BUSY = 5;

/** Whose jobs are found first, and whether in so many looks. */
async function findFirst(claims: Claims, looks: number): Promise<string | undefined> {
  for (let look = 0; look < BUSY * looks; look += 1) {
    const [orphan] = await claims.claim();
    if (orphan !== undefined) return orphan.instanceId;
  }
  return undefined;
}

/** Who is found in so many looks. */
async function find(claims: Claims, looks: number): Promise<string[]> {
  const found: string[] = [];
  for (let look = 0; look < looks; look += 1)
    found.push(...(await claims.claim()).map(({ instanceId }) => instanceId));
  return found;
}

describe('a free instance among many that another one has claimed', () => {
  it.each([
    [0, 1],
    [60, 2],
    [1000, 21],
    [2500, 53],
  ])('is found behind %i of them in %i looks', async (held, looks) => {
    await leave(held, { holder: 'aaaaaaaaaaaa' });
    await leave(1, { from: 5000 });
    expect(await findFirst(place.claimer(), looks)).toBe(idOf(5000));
  });

  it('one that dies later is found as well, when all others have been asked again and again', async () => {
    await leave(1500, { holder: 'aaaaaaaaaaaa' });
    const claims = place.claimer();
    expect(await find(claims, 40)).toEqual([]);
    await leave(1, { from: 5000 });
    // Of two pages.
    expect(await findFirst(claims, 2)).toBe(idOf(5000));
  });

  it('many free ones are found one look after the other', async () => {
    await leave(3);
    expect((await find(place.claimer(), 4)).sort()).toEqual([0, 1, 2].map(idOf));
  });
});

describe('one look', () => {
  it('asks fifty instances at most, and with the list itself that is all it says', async () => {
    await leave(200, { holder: 'aaaaaaaaaaaa' });
    const claims = place.claimer();
    expect(await callsOf('eval', () => claims.claim())).toBe(51);
  });

  it('does not ask again whom somebody else had a moment ago; a second later it does', async () => {
    await leave(3, { holder: 'aaaaaaaaaaaa' });
    const claims = place.claimer();
    expect(await callsOf('eval', () => claims.claim())).toBe(4);
    expect(await callsOf('eval', () => claims.claim())).toBe(1);
    await admin.del(`shutdown-bus:{${idOf(1)}}:claim`);
    const startedMs = performance.now();
    await vi.waitUntil(async () => (await claims.claim())[0]?.instanceId === idOf(1), { timeout: 20_000 });
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });

  it('asks again at once whose owner was still alive', async () => {
    await leave(1);
    await admin.set(`shutdown-bus:{${idOf(0)}}:lease`, '1');
    const claims = place.claimer();
    expect(await claims.claim()).toEqual([]);
    await admin.del(`shutdown-bus:{${idOf(0)}}:lease`);
    expect(await claims.claim()).toHaveLength(1);
  });

  it('ends after a second or so on a long road: a shutdown waits for it', async () => {
    await leave(50, { holder: 'aaaaaaaaaaaa' });
    const road = await startTcpProxy(server.port);
    const client = place.keep(new Redis(road.port, '127.0.0.1'));
    await client.ping();
    road.delayMs = 100;
    const startedMs = performance.now();
    expect(await place.claimer([], client).claim()).toEqual([]);
    // One question takes 200 ms, all of them 10 s.
    expect(performance.now() - startedMs).toBeLessThan(2500);
    client.disconnect();
    await road.stop();
  });
});

describe('what is given back and kept all the same', () => {
  const of = `shutdown-bus:{${idOf(0)}}`;
  const [k, other] = [`${idOf(0)}/k`, `${idOf(0)}/other`];

  async function startSurvivor() {
    await leave(1);
    await admin.hset(`${of}:jobs`, 'other', 'a record');
    // Whoever tried it before died of it.
    await admin.hset(`${of}:tries`, 'k', '1');
    const tenant = place.tenant(redisStore({ url: place.url, leaseMs: 1000 }));
    // The one that was never tried comes first.
    for (const key of ['other', 'k'])
      expect(await tenant.claim(new Set([idOf(0)]), 1, 20_000)).toMatchObject([{ key }]);
    expect(await admin.hgetall(`${of}:tries`)).toEqual({ k: '2', other: '1' });
    const giveBack = async (options: { tried: boolean; keep?: boolean }, ...ids: string[]) =>
      tenant.store.giveBack?.(ids, options);
    return { tenant, giveBack };
  }

  it('is tried no more, given to nobody while its claimer lives, and free at its close', async () => {
    const { tenant, giveBack } = await startSurvivor();
    await giveBack({ tried: false, keep: true }, k, other);
    // Once, however often it is said.
    await giveBack({ tried: false, keep: true }, k);
    expect(await admin.hgetall(`${of}:tries`)).toEqual({ k: '1' });
    expect(await tenant.look()).toEqual([]);
    await tenant.store.heartbeat?.();
    expect(await tenant.look()).toEqual([]);
    expect(await place.claimer().claim()).toEqual([]);
    expect(await admin.get(`${of}:claim`)).toBe(tenant.instanceId);
    await tenant.close();
    expect(await admin.hgetall(`${of}:tries`)).toEqual({ k: '1' });
    expect(await place.claimer().claim()).toMatchObject([{ key: 'other', tries: 1 }]);
  });

  it('lets the others go: they come again, and can be delivered', async () => {
    const { tenant, giveBack } = await startSurvivor();
    await giveBack({ tried: false, keep: true }, k);
    await giveBack({ tried: false }, other);
    expect(await tenant.look()).toMatchObject([{ key: 'other', tries: 1 }]);
    await tenant.store.markDelivered([other]);
    expect(await tenant.look()).toEqual([]);
    expect(await admin.hkeys(`${of}:jobs`)).toEqual(['k']);
    // It can go later, and then its try is not taken back once more.
    await giveBack({ tried: false }, k);
    expect(await admin.hgetall(`${of}:tries`)).toEqual({ k: '1' });
    expect(await admin.exists(`${of}:claim`)).toBe(0);
  });

  it('not kept, it comes again', async () => {
    const { tenant, giveBack } = await startSurvivor();
    await giveBack({ tried: false }, k, other);
    expect(await tenant.look()).toMatchObject([{ key: 'other' }]);
  });
});

describe('what could not be settled in time', () => {
  /** A claimer that cannot settle anything until it is allowed to. */
  function startForgetful() {
    const client = place.client();
    const state = { mayMend: false };
    const run = client.eval.bind(client) as RedisClient['eval'];
    const forgetful = Object.assign(client as RedisClient, {
      eval: async (...call: Parameters<RedisClient['eval']>) => {
        if (call[0] === SETTLE && !state.mayMend) throw new Error('LOADING');
        return run(...call);
      },
    });
    return { claims: place.claimer([], forgetful), mend: () => void (state.mayMend = true) };
  }

  const of = `shutdown-bus:{${idOf(0)}}`;
  const settled = [`${idOf(0)}/k`];

  it('is settled later, when the instance is still the one that was claimed', async () => {
    await leave(1);
    const { claims, mend } = startForgetful();
    await claims.claim();
    await claims.settle(settled, 'delivered');
    expect(await admin.exists(`${of}:jobs`)).toBe(1);
    mend();
    expect(await claims.claim()).toEqual([]);
    expect(await admin.keys('*')).toEqual([]);
  });

  it('harms no job of the same key in a later copy, which is claimed as well', async () => {
    await leave(1);
    const { claims, mend } = startForgetful();
    await claims.claim();
    await claims.settle(settled, 'delivered');
    // Its owner came back, wrote all jobs anew, and died.
    await admin.del(`${of}:claim`, `${of}:tries`);
    await admin.hset(`${of}:owner`, 'epoch', 'another one');
    await admin.hset(`${of}:jobs`, { k: 'another record', other: 'one more' });
    const found = await claims.claim();
    expect(found.map(({ key, record }) => [key, record]).sort()).toEqual([
      ['k', 'another record'],
      ['other', 'one more'],
    ]);
    mend();
    await claims.flush();
    expect(await admin.hgetall(`${of}:jobs`)).toEqual({ k: 'another record', other: 'one more' });
    await claims.settle([...settled, `${idOf(0)}/other`], 'delivered');
    expect(await admin.keys('*')).toEqual([]);
  });
});
