import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import type { JobStore } from '../../src/store.js';
import { storeSaboteurs } from '../../src/testing/index.js';
import { redisStore } from '../../stores/redis.js';
import { startTcpProxy } from '../far-ends/tcp-proxy.js';
import { otherProcesses } from './harness.js';
import { isWellAgain, job, jobsOf, until } from './redis-place.js';
import { APPEND_ONLY, LEASE_MS, redisScene } from './redis-scene.js';

vi.setConfig({ testTimeout: 90_000 });

const { undo, mortal, placeAt, tenantIn } = redisScene();

describe('a Redis that is restarted', () => {
  it('empty: it is given all open jobs again', async () => {
    const server = await mortal();
    const place = placeAt(server.port);
    const tenant = tenantIn(place);
    await tenant.put(job('a'), job('b'), job('c'));
    tenant.checkpoint('a', 'half');
    await server.stop();
    tenant.delete('b');
    await server.start();
    await until('it is well again', () => isWellAgain(tenant));
    expect(await jobsOf(place, tenant)).toEqual(['a', 'c']);
    const progress = `shutdown-bus:{${tenant.instanceId}}:progress`;
    expect(await place.client().hgetall(progress)).toEqual({ a: 'half' });
    expect(String(tenant.troubles[0])).toContain(`Redis at 127.0.0.1:${server.port}: `);
  });

  it('empty, and who does not give them again has lost them', async () => {
    const server = await mortal();
    const place = placeAt(server.port);
    // The saboteur of case S28: its owner knows of no open jobs.
    const forget = storeSaboteurs.S28?.();
    const tenant = place.tenant(forget?.(redisStore({ url: place.url, leaseMs: LEASE_MS })) as JobStore);
    await until('it is connected', async () => (await place.client().keys('*:lease')).length === 1);
    await tenant.put(job('a'));
    await server.stop();
    await server.start();
    await until('it is well again', () => isWellAgain(tenant));
    expect(await jobsOf(place, tenant)).toEqual([]);
  });

  it('with all it had, after everybody’s lease: what was completed meanwhile is gone, what was begun is there', async () => {
    const server = await mortal(APPEND_ONLY);
    const place = placeAt(server.port);
    const tenant = tenantIn(place);
    await tenant.put(job('open'), job('completed'));
    await server.stop();
    const late = tenant.put(job('begun'));
    tenant.delete('completed');
    await sleep(LEASE_MS);
    await server.start();
    await late;
    expect(await jobsOf(place, tenant)).toEqual(['begun', 'open']);
  });

  it('with all it had, after a process was killed: a survivor still reports what that one left', async () => {
    const server = await mortal(APPEND_ONLY);
    const place = placeAt(server.port);
    const survivor = tenantIn(place);
    const { abandon } = otherProcesses({ kind: 'redis', options: { url: place.url, leaseMs: LEASE_MS } });
    const steps = [{ do: 'put' as const, jobs: [job('a')] }];
    await abandon({ instanceId: '0123456789ab', about: '', steps, patienceMs: 1000 });
    await server.stop();
    await server.start();
    expect(await survivor.claim(new Set(['0123456789ab']), 1, 30_000)).toMatchObject([job('a')]);
  });

  it('a living process that is back later than others is left alone for a whole lease', async () => {
    const server = await mortal(APPEND_ONLY);
    const place = placeAt(server.port);
    const road = await startTcpProxy(server.port);
    undo.push(road.stop);
    const [early, late] = [tenantIn(place), tenantIn(place, `redis://127.0.0.1:${road.port}`)];
    await late.put(job('a'));
    await sleep(2 * LEASE_MS);
    road.block();
    await server.stop();
    await sleep(LEASE_MS);
    await server.start();
    await until('the early one is back', () => isWellAgain(early));
    expect(await early.look()).toEqual([]);
    // The negative twin: who judges at once takes a living process for dead.
    const hasty = place.claimer();
    expect((await hasty.claim()).map(({ instanceId }) => instanceId)).toEqual([late.instanceId]);
    await hasty.releaseAll();
    road.unblock();
    await until('the late one is back', () => isWellAgain(late));
    const endsAt = performance.now() + 3 * LEASE_MS;
    while (performance.now() < endsAt) expect(await early.look()).toEqual([]);
    expect(await jobsOf(place, late)).toEqual(['a']);
  });
});
