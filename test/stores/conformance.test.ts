import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster, Redis } from 'ioredis';
import { afterAll, describe } from 'vitest';
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
let places = 0;

describe.each([
  ['memoryStore, which ends with its process', memoryHarness],
  ['lmdbStore', lmdbHarness],
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
