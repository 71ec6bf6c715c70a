import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { redisStore } from '../../stores/redis.js';
import { startRedis } from '../far-ends/redis.js';
import { startTcpProxy } from '../far-ends/tcp-proxy.js';
import { isTroubled, isWellAgain, job, jobsOf, until } from './redis-place.js';
import { APPEND_ONLY, LEASE_MS, redisScene } from './redis-scene.js';

vi.setConfig({ testTimeout: 90_000 });

/** Longer than any patience with it. */
const FROZEN_MS = 6000;
const { undo, mortal, placeAt, tenantIn } = redisScene();

describe('a Redis that is frozen for longer than a lease', () => {
  it('is noticed, holds nobody up, and loses nothing; when it goes on, nobody takes the living for dead', async () => {
    const server = await startRedis();
    undo.push(server.stop);
    const place = placeAt(server.port);
    const tenants = [tenantIn(place), tenantIn(place)] as const;
    const [first, second] = tenants;
    await first.put(job('open'), job('done meanwhile'));
    await second.put(job('open'));
    // Long enough for both to judge.
    await sleep(2 * LEASE_MS);
    server.freeze();
    await until('it is noticed', () => tenants.every(isTroubled));
    const startedMs = performance.now();
    const late = first.put(job('begun meanwhile'));
    first.delete('done meanwhile');
    for (let number = 0; number < 10_000; number += 1) {
      void first.put(job(String(number)));
      first.delete(String(number));
    }
    expect(performance.now() - startedMs).toBeLessThan(FROZEN_MS / 2);
    expect(await first.look()).toEqual([]);
    await sleep(FROZEN_MS);
    server.thaw();
    await late;
    await until('both are well again', () => tenants.every(isWellAgain));
    expect(await jobsOf(place, first)).toEqual(['begun meanwhile', 'open']);
    expect(await jobsOf(place, second)).toEqual(['open']);
    const endsAt = performance.now() + 2 * LEASE_MS;
    while (performance.now() < endsAt) for (const tenant of tenants) expect(await tenant.look()).toEqual([]);
  });

  it('for less than the patience with it, the connection is still good', async () => {
    const server = await startRedis();
    undo.push(server.stop);
    const place = placeAt(server.port);
    const tenant = place.tenant(redisStore({ url: place.url }));
    await tenant.put(job('a'));
    const client = place.client();
    const count = async () => /total_connections_received:(\d+)/.exec(await client.info('stats'))?.[1];
    const before = await count();
    server.freeze();
    await until('it is noticed', () => isTroubled(tenant));
    const late = tenant.put(job('b'));
    server.thaw();
    await late;
    await until('it is well again', () => isWellAgain(tenant));
    expect(await count()).toBe(before);
    expect(await jobsOf(place, tenant)).toEqual(['a', 'b']);
  });
});

describe('a Redis that is gone for a while', () => {
  it('nothing is lost that memory still holds, and its trouble is told once, its end once', async () => {
    const server = await mortal();
    const place = placeAt(server.port);
    const tenant = tenantIn(place);
    await tenant.put(job('before'));
    await server.stop();
    await until('it is noticed', () => isTroubled(tenant));
    const startedMs = performance.now();
    const kept = Array.from({ length: 2000 }, (_, index) => tenant.put(job(String(index))));
    for (let index = 0; index < 1000; index += 1) tenant.delete(String(index));
    tenant.checkpoint('1999', 'half');
    expect(performance.now() - startedMs).toBeLessThan(1000);
    await sleep(3000);
    await server.start();
    await Promise.all(kept);
    expect(await jobsOf(place, tenant)).toHaveLength(1001);
    await until('it is well again', () => isWellAgain(tenant));
    const changes = tenant.troubles.filter((error, index, all) => !error !== !all[index - 1] || index === 0);
    expect(changes.map((error) => error === undefined)).toEqual([false, true]);
  });

  it('at the start already: its first job is written when it comes', async () => {
    const server = await mortal();
    await server.stop();
    const place = placeAt(server.port);
    const tenant = tenantIn(place);
    const put = tenant.put(job('a'));
    await until('it is noticed', () => isTroubled(tenant));
    await server.start();
    await put;
    expect(await jobsOf(place, tenant)).toEqual(['a']);
  });

  it('at the end: close does not wait for it, and keeps no process', async () => {
    const server = await mortal();
    const place = placeAt(server.port);
    const tenant = tenantIn(place);
    await tenant.put(job('a'));
    await server.stop();
    await until('it is noticed', () => isTroubled(tenant));
    const startedMs = performance.now();
    await tenant.close();
    expect(performance.now() - startedMs).toBeLessThan(2500);
  });

  it('what was delivered while it was away is not given out again', async () => {
    const server = await mortal(APPEND_ONLY);
    const place = placeAt(server.port);
    const [survivor, leaving] = [tenantIn(place), tenantIn(place)];
    await leaving.put(job('a'), job('b'));
    await leaving.close();
    await survivor.claim(new Set([leaving.instanceId]), 2, 30_000);
    await server.stop();
    await until('it is noticed', () => isTroubled(survivor));
    await survivor.store.markDelivered([`${leaving.instanceId}/a`]);
    await server.start();
    await until('it is well again', () => isWellAgain(survivor));
    await until('Redis knows', async () => (await jobsOf(place, leaving)).join() === 'b');
    await survivor.store.giveBack?.([`${leaving.instanceId}/b`], { tried: false });
    const again = await survivor.claim(new Set([leaving.instanceId]), 1, 30_000);
    expect(again.map(({ key }) => key)).toEqual(['b']);
  });
});

describe('a Redis that is slow', () => {
  it.each([
    ['0.8 s an answer: no trouble', 400, false],
    ['1.4 s an answer: trouble, and everything is written all the same', 700, true],
  ] as const)('%s', async (_what, delayMs, isTrouble) => {
    const server = await startRedis();
    undo.push(server.stop);
    const road = await startTcpProxy(server.port);
    undo.push(road.stop);
    const place = placeAt(server.port);
    const tenant = place.tenant(redisStore({ url: `redis://127.0.0.1:${road.port}`, leaseMs: 20_000 }));
    await tenant.put(job('a'));
    road.delayMs = delayMs;
    const startedMs = performance.now();
    const puts = ['b', 'c', 'd'].map((key) => tenant.put(job(key)));
    tenant.delete('a');
    tenant.delete('b');
    expect(performance.now() - startedMs).toBeLessThan(200);
    await Promise.all(puts);
    expect(await jobsOf(place, tenant)).toEqual(['c', 'd']);
    expect(tenant.troubles.length > 0).toBe(isTrouble);
    road.delayMs = 0;
    await until('it is well', () => tenant.troubles.at(-1) === undefined);
    await tenant.put(job('e'));
    tenant.delete('c');
    tenant.delete('d');
    tenant.delete('e');
    await tenant.close();
    expect(await place.client().keys('*')).toEqual([]);
  });
});
