import { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { type HttpFarEnd, startFarEnd } from '../far-ends/http-server.js';
import { type RedisServer, startRedis } from '../far-ends/redis.js';
import { type Child, start } from './child.js';

const LEASE_MS = 10_000;
const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

/** A report as the receiver got it. */
interface Arrival {
  readonly id: string;
  readonly reporter: string;
  readonly atMs: number;
  readonly data: Record<string, unknown>;
}

interface Receiver extends HttpFarEnd {
  readonly arrivals: readonly Arrival[];
  /** Resolves when there are so many. */
  count(many: number): Promise<void>;
  /** From here on it answers this reporter with 503. */
  refuse(reporter: string): void;
}

/** Each reporter has a path of its own. */
async function startReceiver(): Promise<Receiver> {
  const arrivals: Arrival[] = [];
  const waiters = new Set<() => void>();
  const refused = new Set<string>();
  const server = await startFarEnd((response, { body, path }) => {
    if (refused.has(path)) {
      response.writeHead(503).end();
      return;
    }
    const atMs = performance.now();
    const parsed = JSON.parse(body) as Pick<Arrival, 'id' | 'data'>[] | Pick<Arrival, 'id' | 'data'>;
    for (const { id, data } of [parsed].flat()) arrivals.push({ id, data, atMs, reporter: path });
    response.end();
    for (const waiter of waiters) waiter();
  });
  undo.push(server.close);
  const count = (many: number) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (arrivals.length >= many) resolve();
      };
      waiters.add(look);
      look();
    });
  return { ...server, arrivals, count, refuse: (reporter) => void refused.add(reporter) };
}

async function startService(
  redis: RedisServer,
  receiver: Receiver,
  name: string,
  begins: number,
): Promise<Child & { readonly instanceId: string }> {
  const env = {
    SHUTDOWN_STORE: `redis://127.0.0.1:${redis.port}`,
    SHUTDOWN_WEBHOOK_URL: `${receiver.origin}/${name}`,
    SHUTDOWN_SERVICE: 'films',
    SHUTDOWN_BUDGET_MS: '3000',
  };
  const child = start('stored-jobs.js', { args: [String(begins)], env });
  undo.push(() => child.process.kill('SIGKILL'));
  let said = '';
  child.process.stdout?.on('data', (text: string) => {
    said += text;
  });
  await child.line('ready');
  return { ...child, instanceId: said.trim().split(' ')[1] as string };
}

describe('five instances with jobs in one Redis', () => {
  it('three are killed at once: each of their 10,000 jobs is reported by one survivor, within the lease and 2 s', async () => {
    const redis = await startRedis();
    undo.push(redis.stop);
    const receiver = await startReceiver();
    const survivors = [
      await startService(redis, receiver, 'first', 50),
      await startService(redis, receiver, 'second', 50),
    ];
    const doomed = await Promise.all(
      [3334, 3333, 3333].map((begins, index) => startService(redis, receiver, `doomed-${index}`, begins)),
    );
    // Whoever judges has heard of Redis for a whole lease.
    await new Promise((resolve) => setTimeout(resolve, LEASE_MS + 1000));
    expect(receiver.arrivals).toEqual([]);

    const killedAtMs = performance.now();
    for (const child of doomed) child.process.kill('SIGKILL');
    await receiver.count(10_000);
    const tookMs = performance.now() - killedAtMs;
    console.log(`10,000 orphans of 3 dead instances were reported ${Math.round(tookMs)} ms after the kill`);
    // Nothing may follow.
    await new Promise((resolve) => setTimeout(resolve, 3000));

    const { arrivals } = receiver;
    expect(new Set(arrivals.map(({ id }) => id)).size).toBe(10_000);
    expect(arrivals).toHaveLength(10_000);
    const dead = new Set(doomed.map(({ instanceId }) => instanceId));
    expect(arrivals.every(({ id }) => dead.has(id.split('/')[0] as string))).toBe(true);
    expect(new Set(arrivals.map(({ reporter }) => reporter))).toEqual(new Set(['/first', '/second']));
    expect(arrivals[0]?.data).toMatchObject({ outcome: 'lost', reason: 'lost', service: 'films' });
    expect(arrivals[0]?.data.detail).toMatch(/^process \d+ on .* ended without a word, last seen /);
    expect(Math.max(...arrivals.map(({ atMs }) => atMs)) - killedAtMs).toBeLessThan(LEASE_MS + 2000);

    for (const child of survivors) child.kill('SIGKILL');
  });
});

describe('one instance after the other', () => {
  it('what was killed is reported by the next start, and what that one left at its end by the one after', async () => {
    const redis = await startRedis();
    undo.push(redis.stop);
    const receiver = await startReceiver();
    const killed = await startService(redis, receiver, 'killed', 3);
    killed.kill('SIGKILL');
    await killed.ended;
    const next = await startService(redis, receiver, 'next', 2);
    await receiver.count(3);
    const reporters = () => receiver.arrivals.map(({ reporter, id }) => [reporter, id.split('/')[0]]);
    expect(reporters()).toEqual(Array(3).fill(['/next', killed.instanceId]));
    receiver.refuse('/next');
    next.kill('SIGTERM');
    const { stderr } = await next.ended;
    expect(stderr).toContain('503');
    expect(receiver.arrivals).toHaveLength(3);
    const last = await startService(redis, receiver, 'last', 0);
    await receiver.count(5);
    expect(reporters().slice(3)).toEqual(Array(2).fill(['/last', next.instanceId]));
    const told = receiver.arrivals.slice(3).map(({ data }) => [data.outcome, data.reason]);
    expect(told).toEqual(Array(2).fill(['interrupted', 'SIGTERM']));
    // When Redis has nothing more of anybody, nothing can follow.
    last.kill('SIGTERM');
    await last.ended;
    const client = new Redis(redis.port, '127.0.0.1');
    undo.push(() => client.disconnect());
    expect(await client.keys('*')).toEqual([]);
    expect(receiver.arrivals).toHaveLength(5);
  });
});
