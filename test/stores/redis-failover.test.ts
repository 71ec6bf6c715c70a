import { Redis } from 'ioredis';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { RedisClient } from '../../stores/redis/line.js';
import { redisStore } from '../../stores/redis.js';
import { startRedis } from '../far-ends/redis.js';
import { job, RedisPlace, until } from './redis-place.js';

vi.setConfig({ testTimeout: 60_000 });

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

/** A client whose connection never closes, whoever answers behind it: as that of a cluster, or of a proxy. */
class Switchboard implements RedisClient {
  readonly status = 'ready';
  to: Redis;

  constructor(to: Redis) {
    this.to = to;
  }

  eval(...call: Parameters<RedisClient['eval']>): Promise<unknown> {
    return this.to.eval(...call);
  }

  on(): void {}
  off(): void {}
}

/** A Redis with a replica, and a process with the jobs `a` and `kept` of which both know. */
async function startPair() {
  const args = ['--repl-diskless-sync-delay', '0'];
  const servers = [await startRedis({ args }), await startRedis()] as const;
  undo.push(...servers.map(({ stop }) => stop));
  const place = new RedisPlace(servers[0].port);
  undo.push(() => place.end());
  const [main, replica] = servers.map(({ port }) => place.keep(new Redis(port, '127.0.0.1'))) as [
    Redis,
    Redis,
  ];
  await replica.replicaof('127.0.0.1', servers[0].port);
  const client = new Switchboard(main);
  const tenant = place.tenant(redisStore({ client, leaseMs: 600_000 }));
  // Whatever is written is written by the test.
  tenant.fallSilent();
  await tenant.put(job('a'), job('kept'));
  await until('the replica has it all', async () => (await main.wait(1, 1000)) === 1);
  const failOver = async () => {
    await replica.replicaof('NO', 'ONE');
    client.to = replica;
  };
  const of = `shutdown-bus:{${tenant.instanceId}}`;
  const jobsThere = async () => (await replica.hkeys(`${of}:jobs`)).sort();
  const epochThere = () => replica.hget(`${of}:owner`, 'epoch');
  return { tenant, main, replica, failOver, of, jobsThere, epochThere };
}

describe('a failover that no connection tells of', () => {
  it('to a replica that was behind, with as many jobs, but others: they are written anew, and that is told', async () => {
    const { tenant, replica, failOver, jobsThere } = await startPair();
    await replica.replicaof('NO', 'ONE');
    tenant.delete('a');
    await tenant.put(job('b'));
    await failOver();
    expect(await jobsThere()).toEqual(['a', 'kept']);
    await tenant.store.heartbeat?.();
    await until('the open jobs are there', async () => (await jobsThere()).join() === 'b,kept');
    await until('it is well again', () => tenant.troubles.length === 2 && tenant.troubles[1] === undefined);
    expect(String(tenant.troubles[0])).toContain('a failover to a replica that was behind');
  });

  it('to one that was not: nothing is written anew, and nothing is told', async () => {
    const { tenant, failOver, jobsThere, epochThere } = await startPair();
    const epoch = await epochThere();
    await failOver();
    await tenant.store.heartbeat?.();
    await tenant.put(job('b'));
    await tenant.store.heartbeat?.();
    expect(await jobsThere()).toEqual(['a', 'b', 'kept']);
    expect(await epochThere()).toBe(epoch);
    expect(tenant.troubles).toEqual([]);
  });
});

describe('a batch whose answer is lost', () => {
  it('is not written twice: the client’s second try finds another copy, and all is written anew', async () => {
    const { tenant, main, of } = await startPair();
    const once = main.eval.bind(main) as RedisClient['eval'];
    // As a client that sends again what it has no answer to.
    const twice = vi.spyOn(main, 'eval').mockImplementationOnce((async (
      ...call: Parameters<RedisClient['eval']>
    ) => {
      await once(...call);
      return once(...call);
    }) as never);
    const epoch = await main.hget(`${of}:owner`, 'epoch');
    tenant.delete('a');
    await tenant.put(job('b'));
    expect(twice).toHaveBeenCalled();
    expect((await main.hkeys(`${of}:jobs`)).sort()).toEqual(['b', 'kept']);
    expect(await main.hget(`${of}:owner`, 'epoch')).not.toBe(epoch);
    await until('it is well again', () => tenant.troubles.length > 0 && !tenant.troubles.at(-1));
  });
});
