import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import type { StoreOwnership } from '../../src/store.js';
import type { Tenant } from '../../src/testing/store-tenant.js';
import { redisStore } from '../../stores/redis.js';
import type { RedisPlace } from './redis-place.js';
import { isWellAgain, until } from './redis-place.js';
import { LEASE_MS, redisScene } from './redis-scene.js';

vi.setConfig({ testTimeout: 60_000 });

const { mortal, placeAt, tenantIn } = redisScene();
const NAME = 'scheduler';

/** A place with two processes that live long enough to judge others. */
async function scene(leaseMs = LEASE_MS) {
  const server = await mortal();
  const place = placeAt(server.port);
  const [first, second] = [newcomer(place, leaseMs), newcomer(place, leaseMs)];
  const ownership = (await first.store.own?.(NAME)) as StoreOwnership;
  expect(await second.store.own?.(NAME)).toBeUndefined();
  return { server, place, first, second, ownership };
}

function newcomer(place: RedisPlace, leaseMs = LEASE_MS): Tenant {
  return place.tenant(redisStore({ url: place.url, leaseMs }));
}

/** Asks for so long, again and again; fails when the name is given out while its owner may believe in it. */
async function askInVain(tenant: Tenant, { signal }: StoreOwnership, ms: number): Promise<void> {
  const endsAt = performance.now() + ms;
  while (performance.now() < endsAt) {
    const next = await tenant.store.own?.(NAME, AbortSignal.timeout(100)).catch(() => undefined);
    expect(next).toBeUndefined();
    expect(signal.aborted).toBe(false);
    await sleep(20);
  }
}

describe('an owner', () => {
  it('D25: is told when half of its lease is over without a word of Redis, and nobody has the name by then', async () => {
    const { server, second, ownership } = await scene();
    const startedMs = performance.now();
    server.freeze();
    await until('it is told', () => ownership.signal.aborted);
    const tookMs = performance.now() - startedMs;
    // It had confirmed its lease within the last heartbeat.
    expect(tookMs).toBeGreaterThan(LEASE_MS / 2 - LEASE_MS / 4 - 100);
    expect(tookMs).toBeLessThan(LEASE_MS);
    expect(ownership.signal.reason).toMatchObject({ code: 'OWNERSHIP_LOST' });
    server.thaw();
    expect(await second.waitToOwn(NAME, 20_000)).toBeDefined();
  });

  it('D25: negative twin: with Redis there it is told nothing, lease after lease', async () => {
    const { second, ownership } = await scene();
    await askInVain(second, ownership, 3 * LEASE_MS);
  });

  it('D25: whose event loop was blocked for so long is told at once', async () => {
    const { ownership } = await scene();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LEASE_MS / 2 + 50);
    await turn();
    await turn();
    expect(ownership.signal.aborted).toBe(true);
  });

  it('D25: that gives up while Redis is silent is not held up for long, and the name is free when Redis is back', async () => {
    const { server, second, ownership } = await scene();
    server.freeze();
    const startedMs = performance.now();
    await ownership.release();
    expect(performance.now() - startedMs).toBeLessThan(4000);
    server.thaw();
    expect(await second.waitToOwn(NAME, 20_000)).toBeDefined();
  });
});

describe('a Redis that loses everything', () => {
  it('D25: in a restart: the owner stays the owner, and nobody else gets the name', async () => {
    const leaseMs = 6000;
    const { server, first, second, ownership } = await scene(leaseMs);
    await server.stop();
    await server.start();
    await askInVain(second, ownership, 1.5 * leaseMs);
    expect(isWellAgain(first)).toBe(true);
  });

  it('D25: without a word: the same', async () => {
    const { place, second, ownership } = await scene();
    const client = place.client();
    for (let loss = 0; loss < 5; loss += 1) {
      await client.flushall();
      await askInVain(second, ownership, 300);
    }
    await askInVain(second, ownership, 2 * LEASE_MS);
  });
});

describe('a process that has just started', () => {
  it('D25: gets at once what was given up', async () => {
    const { place, ownership } = await scene();
    await ownership.release();
    const startedMs = performance.now();
    expect(await newcomer(place).store.own?.(NAME)).toBeDefined();
    expect(performance.now() - startedMs).toBeLessThan(LEASE_MS);
  });

  it('D25: negative twin: what nobody gave up may have an owner who lost its lease, and has a lease of time to say so', async () => {
    const { place } = await scene();
    const startedMs = performance.now();
    expect(await newcomer(place).store.own?.('never owned')).toBeDefined();
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(LEASE_MS);
  });

  it.each(['its caller', 'close'])('D25: %s ends that wait, and the name is nobody’s', async (who) => {
    const { place, second } = await scene();
    const tenant = newcomer(place);
    const over = new AbortController();
    const asked = tenant.store.own?.('never owned', over.signal);
    await sleep(300);
    if (who === 'close') await tenant.close();
    else over.abort();
    expect(await asked).toBeUndefined();
    expect(await second.store.own?.('never owned')).toBeDefined();
  });

  it('D25: without a Redis it is refused, and not for long', async () => {
    const tenant = tenantIn(placeAt(9), 'redis://127.0.0.1:9');
    await expect(tenant.store.own?.(NAME)).rejects.toThrow('Redis was not there for 2000 ms');
  });
});

describe('a name of any kind', () => {
  it('D25: empty, with a hash tag, a quote, half a character, a long one: has one owner', async () => {
    const { first, second } = await scene();
    for (const name of ['', '{a}b', '"', '\ud800', 'x'.repeat(5000)]) {
      const ownership = await first.store.own?.(name);
      expect(await second.store.own?.(name)).toBeUndefined();
      await ownership?.release();
      expect(await second.store.own?.(name)).toBeDefined();
    }
  });
});
