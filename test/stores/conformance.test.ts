import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Cluster, Redis } from 'ioredis';
import { afterAll, describe } from 'vitest';
import type { JobStore } from '../../src/store.js';
import type { StoreHarness } from '../../src/testing/index.js';
import { lmdbStore } from '../../stores/lmdb.js';
import { memoryStore } from '../../stores/memory.js';
import { redisStore } from '../../stores/redis.js';
import { type RedisServer, startRedis, startRedisCluster } from '../far-ends/redis.js';
import { startSilentServer } from '../far-ends/silent-server.js';
import { itConforms, otherProcesses } from './harness.js';

const cleanUps: (() => unknown)[] = [];
afterAll(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

const single = await startRedis();
const [cluster] = (await startRedisCluster()) as [RedisServer];
const silent = await startSilentServer();
const nodes = [{ host: '127.0.0.1', port: cluster.port }];
const clusterClient = new Cluster(nodes, { redisOptions: { keyPrefix: 'of-the-application:' } });
cleanUps.push(single.stop, cluster.stop, silent.stop, () => clusterClient.disconnect());
const readme = await readmeStore();
let places = 0;

describe.each([
  ['memoryStore, which ends with its process', memoryHarness],
  ['lmdbStore', lmdbHarness],
  ['the example in stores/README.md', readmeHarness],
  ['redisStore', () => redisHarness(single.port)],
  ['redisStore, a Redis in cluster mode', () => redisHarness(cluster.port)],
  ['redisStore, a Cluster of the application’s, with a key prefix', clusterHarness],
])('%s', (_name, makeHarness) => itConforms(makeHarness));

function memoryHarness(): StoreHarness {
  return { store: async () => memoryStore() };
}

function lmdbHarness(): StoreHarness {
  const path = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
  cleanUps.push(() => rmSync(path, { recursive: true, force: true }));
  return {
    ...otherProcesses({ kind: 'lmdb', options: { path } }),
    store: async () => lmdbStore({ path }),
    async wipe() {
      for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true });
    },
  };
}

function readmeHarness(): StoreHarness {
  const path = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
  cleanUps.push(() => rmSync(path, { recursive: true, force: true }));
  return {
    ...otherProcesses({ kind: 'module', options: { module: readme.file, path } }),
    store: async () => readme.logStore(path),
    async wipe() {
      for (const name of readdirSync(path)) rmSync(join(path, name));
    },
    patienceMs: 20_000,
    lacks: ['giveBack', 'setAside', 'own'],
  };
}

/** The example of stores/README.md, as it stands on the page. */
async function readmeStore(): Promise<{ file: string; logStore: (folder: string) => JobStore }> {
  const page = readFileSync(new URL('../../stores/README.md', import.meta.url), 'utf8');
  const [, code = ''] = /```ts\n(.*?logStore.*?)```/s.exec(page) ?? [];
  const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
  cleanUps.push(() => rmSync(folder, { recursive: true }));
  const source = join(folder, 'log-store.ts');
  writeFileSync(source, code);
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const tsc = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url));
  const flags = '--ignoreConfig --noCheck --module nodenext --target es2023';
  execFileSync(process.execPath, [tsc, ...flags.split(' '), source]);
  const file = join(folder, 'log-store.js');
  return { file, logStore: (await import(file)).logStore };
}

function redisHarness(port: number): StoreHarness {
  const options = { url: `redis://127.0.0.1:${port}`, leaseMs: 1500, prefix: `place-${(places += 1)}` };
  return {
    ...otherProcesses({ kind: 'redis', options }),
    patienceMs: 20_000,
    store: async () => redisStore(options),
    hanging: async () => redisStore({ ...options, url: `redis://127.0.0.1:${silent.port}` }),
    wipe: () => wipe(port, options.prefix),
  };
}

function clusterHarness(): StoreHarness {
  const options = { leaseMs: 1500, prefix: `place-${(places += 1)}` };
  return {
    // Such a client keeps its process alive: whether it ends is not for us to promise.
    abandon: otherProcesses({ kind: 'redis', options, nodes }).abandon,
    patienceMs: 20_000,
    store: async () => redisStore({ ...options, client: clusterClient }),
    wipe: () => wipe(cluster.port, options.prefix),
  };
}

async function wipe(port: number, prefix: string): Promise<void> {
  const client = new Redis(port, '127.0.0.1');
  for (const key of await client.keys(`*${prefix}:*`)) await client.del(key);
  client.disconnect();
}
