import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { startTimer } from '../../stores/redis/line.js';
import { redisStore } from '../../stores/redis.js';
import { startRedis } from '../far-ends/redis.js';
import { job, RedisPlace, until } from './redis-place.js';

vi.setConfig({ testTimeout: 60_000 });

const server = await startRedis();
const place = new RedisPlace(server.port);
afterAll(async () => {
  await place.end();
  await server.stop();
});
afterEach(() => server.thaw());

function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

describe('an event loop that is blocked for longer than Redis may take', () => {
  it('while a large record is on its way: Redis is not blamed', async () => {
    const tenant = place.tenant(redisStore({ url: place.url, leaseMs: 600_000 }));
    await tenant.put(job('first'));
    const stored = tenant.put({ key: 'large', record: 'x'.repeat(8_000_000) });
    // It is sent in the next turn, as much as the socket takes.
    await turn();
    block(1500);
    await stored;
    expect(tenant.troubles).toEqual([]);
  });

  it('Redis is blamed when it is silent while the loop runs', async () => {
    const tenant = place.tenant(redisStore({ url: place.url, leaseMs: 600_000 }));
    await tenant.put(job('first'));
    server.freeze();
    const startedMs = performance.now();
    void tenant.put(job('second'));
    await until('it is noticed', () => tenant.troubles.length > 0);
    expect(performance.now() - startedMs).toBeGreaterThan(950);
    expect(String(tenant.troubles[0])).toContain('Redis did not answer for 1000 ms');
    server.thaw();
    await until('it is well again', () => tenant.troubles.at(-1) === undefined);
  });
});

describe('a wait', () => {
  it('is as long as it says while the loop runs', async () => {
    const startedMs = performance.now();
    await new Promise<void>((resolve) => void startTimer(300, true, resolve));
    const tookMs = performance.now() - startedMs;
    expect(tookMs).toBeGreaterThan(290);
    expect(tookMs).toBeLessThan(1000);
  });

  it('goes on after the loop was blocked, as if that had been a moment', async () => {
    const over = vi.fn();
    startTimer(300, true, over);
    block(600);
    const startedMs = performance.now();
    for (let turns = 0; turns < 10; turns += 1) await turn();
    expect(over).not.toHaveBeenCalled();
    await vi.waitUntil(() => over.mock.calls.length > 0, { timeout: 20_000 });
    expect(performance.now() - startedMs).toBeGreaterThan(250);
  });

  it.each([0, 3])('that is ended after %i of its ten parts is never over', async (parts) => {
    const over = vi.fn();
    const end = startTimer(100, true, over);
    for (let part = 0; part < parts; part += 1) await new Promise((resolve) => setTimeout(resolve, 10));
    end();
    await new Promise<void>((resolve) => void startTimer(200, true, resolve));
    expect(over).not.toHaveBeenCalled();
  });
});
