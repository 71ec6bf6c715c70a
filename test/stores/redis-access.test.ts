import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { Cluster, Redis } from 'ioredis';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import type { Tenant } from '../../src/testing/store-tenant.js';
import { redisStore } from '../../stores/redis.js';
import { selfSignedCertificate } from '../far-ends/http-server.js';
import { startRedis, startRedisCluster } from '../far-ends/redis.js';
import { deadPort } from '../far-ends/silent-server.js';
import { otherProcesses } from './harness.js';
import { job, RedisPlace, until } from './redis-place.js';

vi.setConfig({ testTimeout: 60_000 });

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});
afterAll(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

function placeAt(port: number): RedisPlace {
  const place = new RedisPlace(port);
  undo.push(() => place.end());
  return place;
}

/** Waits until trouble is told, and gives all that is in it. */
async function troubleOf(tenant: Tenant): Promise<string> {
  await until('the trouble is told', () => tenant.troubles[0] !== undefined);
  return inspect(tenant.troubles, { depth: 12, showHidden: true });
}

describe('a user of Redis who may do little', () => {
  const page = readFileSync(new URL('../../stores/README.md', import.meta.url), 'utf8');
  const rights = /```\n(~.*?)```/s.exec(page)?.[1]?.trim().split(/\s+/) ?? [];

  async function startGuarded(password: string) {
    const server = await startRedis();
    undo.push(server.stop);
    const admin = new Redis(server.port, '127.0.0.1');
    await admin.call('ACL', 'SETUSER', 'jobs', 'on', `>${password}`, ...rights);
    await admin.call('ACL', 'SETUSER', 'default', 'resetpass', '>of-the-admin');
    admin.disconnect();
    return server;
  }

  it('the page names them: the keys, and each command once', () => {
    expect(rights[0]).toBe('~shutdown-bus:*');
    expect(rights.length).toBeGreaterThan(10);
    expect(new Set(rights).size).toBe(rights.length);
  });

  it('may keep jobs, claim what others left, and clear up', async () => {
    const server = await startGuarded('p@ss/w:rd');
    const place = placeAt(server.port);
    const url = `redis://jobs:${encodeURIComponent('p@ss/w:rd')}@127.0.0.1:${server.port}`;
    const survivor = place.tenant(redisStore({ url, leaseMs: 1000 }));
    const leaving = place.tenant(redisStore({ url, leaseMs: 1000 }));
    await leaving.put(...['a', 'b', 'c', 'd'].map(job));
    leaving.checkpoint('a', 'half');
    leaving.delete('d');
    await leaving.close();
    const found = await survivor.claim(new Set([leaving.instanceId]), 3, 20_000);
    const [a, b, c] = found.map(({ key }) => `${leaving.instanceId}/${key}`) as [string, string, string];
    await survivor.store.giveBack?.([a], { tried: false });
    await survivor.store.setAside?.([b]);
    await survivor.store.markDelivered([c]);
    await survivor.claim(new Set([leaving.instanceId]), 1, 20_000);
    await survivor.store.markDelivered([a]);
    expect(survivor.troubles).toEqual([]);
    await survivor.close();
    const admin = place.keep(new Redis(server.port, '127.0.0.1', { password: 'of-the-admin' }));
    expect(await admin.keys('*')).toEqual([`shutdown-bus:{${leaving.instanceId}}:aside`]);
  });

  it('who may not touch the prefix is told so, and no password is shown', async () => {
    const server = await startGuarded('hunter2');
    const place = placeAt(server.port);
    const url = `redis://jobs:hunter2@127.0.0.1:${server.port}`;
    const trouble = await troubleOf(place.tenant(redisStore({ url, prefix: 'elsewhere' })));
    expect(trouble).toContain(`Redis at 127.0.0.1:${server.port}: `);
    expect(trouble).toMatch(/NOPERM|permission/);
    expect(trouble).not.toContain('hunter2');
  });

  it('who has the wrong password is told so, and it is not shown', async () => {
    const server = await startGuarded('hunter2');
    const place = placeAt(server.port);
    const url = `redis://jobs:hunter3@127.0.0.1:${server.port}`;
    const trouble = await troubleOf(place.tenant(redisStore({ url })));
    expect(trouble).toContain('WRONGPASS');
    expect(trouble).not.toContain('hunter3');
  });
});

describe('TLS', () => {
  async function startEncrypted() {
    const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-tls-'));
    undo.push(() => rmSync(folder, { recursive: true }));
    const { key, cert } = selfSignedCertificate();
    const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    writeFileSync(keyFile, key);
    writeFileSync(certFile, cert);
    const port = await deadPort();
    const files = ['--tls-cert-file', certFile, '--tls-key-file', keyFile, '--tls-ca-cert-file', certFile];
    const server = await startRedis({
      args: ['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no', ...files],
    });
    undo.push(server.stop);
    return { port, cert, certFile };
  }

  it('a rediss address is spoken to in secret: what a killed process left is there', async () => {
    const { port, cert, certFile } = await startEncrypted();
    const place = placeAt(port);
    const client = place.keep(new Redis(port, '127.0.0.1', { tls: { ca: cert } }));
    const survivor = place.tenant(redisStore({ client, leaseMs: 1000 }));
    const options = { url: `rediss://127.0.0.1:${port}`, leaseMs: 1000 };
    const { abandon } = otherProcesses({ kind: 'redis', options }, { NODE_EXTRA_CA_CERTS: certFile });
    const steps = [{ do: 'put' as const, jobs: [job('a')] }];
    await abandon({ instanceId: '0123456789ab', about: '', steps, patienceMs: 1000 });
    expect(await survivor.claim(new Set(['0123456789ab']), 1, 20_000)).toHaveLength(1);
  });

  it('a server whose certificate nobody trusts is not spoken to, and that is told', async () => {
    const { port } = await startEncrypted();
    const tenant = placeAt(port).tenant(redisStore({ url: `rediss://127.0.0.1:${port}` }));
    expect(await troubleOf(tenant)).toMatch(/self-signed certificate/);
  });
});

describe('a cluster of two nodes', () => {
  it('keeps what is claimed and settled over both of them, with a Cluster as client', async () => {
    const servers = await startRedisCluster(2);
    undo.push(...servers.map(({ stop }) => stop));
    const [{ port }] = servers as [(typeof servers)[0]];
    const place = placeAt(port);
    const nodes = servers.map((server) => ({ host: '127.0.0.1', port: server.port }));
    const client = place.keep(new Cluster(nodes)).setMaxListeners(50);
    const make = () => place.tenant(redisStore({ client, leaseMs: 1000 }));
    const survivor = make();
    const leaving = Array.from({ length: 10 }, make);
    for (const tenant of leaving) await tenant.put(job('a'), job('b'));
    for (const tenant of leaving) await tenant.close();
    const found = await survivor.claim(new Set(leaving.map(({ instanceId }) => instanceId)), 20, 20_000);
    expect(found).toHaveLength(20);
    const keys = await Promise.all(client.nodes('master').map((node) => node.keys('*:jobs')));
    expect(keys.every((list) => list.length > 0)).toBe(true);
    await survivor.store.markDelivered(found.map(({ instanceId, key }) => `${instanceId}/${key}`));
    await survivor.close();
    expect((await Promise.all(client.nodes('master').map((node) => node.keys('*')))).flat()).toEqual([]);
  });

  it('an address of one node is not enough, and that is told', async () => {
    const servers = await startRedisCluster(2);
    undo.push(...servers.map(({ stop }) => stop));
    const place = placeAt(0);
    // One of them has not even the list of instances.
    const tenants = servers.map(({ port }) => place.tenant(redisStore({ url: `redis://127.0.0.1:${port}` })));
    const told = await Promise.race(tenants.map(troubleOf));
    expect(told).toContain('give redisStore a Cluster of ioredis as its client');
  });
});
