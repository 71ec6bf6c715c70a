import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startFarEnd } from '../far-ends/http-server.js';
import { type RedisServer, startRedis } from '../far-ends/redis.js';
import { start } from './child.js';

const PAYLOAD_BYTES = 1_000_000;
const undo: (() => unknown)[] = [];
let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
}, 60_000);
afterEach(async () => {
  for (const step of undo.splice(0)) await step();
});
afterAll(() => redis?.stop());

/** A service with one job that is too large for its far end, and a handler that blocks like that. */
async function startService(how: 'none' | 'stdin') {
  const taken: { id: string; data: Record<string, unknown> }[] = [];
  const farEnd = await startFarEnd((response, { body }) => {
    taken.push(...JSON.parse(body));
    response.writeHead(204).end();
  });
  undo.push(farEnd.close);
  const child = start('blocked.js', {
    args: [JSON.stringify({ jobs: 1, payloadBytes: PAYLOAD_BYTES, how })],
    env: {
      SHUTDOWN_STORE: `redis://127.0.0.1:${redis.port}`,
      SHUTDOWN_WEBHOOK_URL: farEnd.origin,
      SHUTDOWN_BUDGET_MS: '4000',
      SHUTDOWN_RESERVE_MS: '2400',
    },
  });
  undo.push(() => child.process.kill('SIGKILL'));
  await child.line('ready');
  return { child, taken };
}

/** What is in Redis: the kinds of keys, and the payloads that are set aside. */
async function look() {
  const client = new Redis(redis.port, '127.0.0.1');
  undo.push(() => client.disconnect());
  const keys = await client.keys('*');
  const aside = await Promise.all(
    keys.filter((key) => key.endsWith(':aside')).map((key) => client.hvals(key)),
  );
  const payloads = aside.flat().map((text) => JSON.parse(JSON.parse(text).record).value);
  await client.flushall();
  return { kinds: keys.map((key) => key.replace(/.*[}:]:?/, '')), payloads };
}

describe('a job that went out without its payload, which was too large', () => {
  it.each([
    ['by the process itself', 'none'],
    ['by the thread beside its blocked event loop, which is free again later', 'stdin'],
  ] as const)('%s: Redis keeps the payload, and nobody reports the job again', async (_who, how) => {
    const { child, taken } = await startService(how);
    child.kill('SIGTERM');
    await expect.poll(() => taken.length).toBe(1);
    child.process.stdin?.write('.');
    const { code, stderr } = await child.ended;
    expect(code, stderr).toBe(0);
    expect(stderr.includes('the watchdog thread delivered 1 of 1')).toBe(how === 'stdin');
    expect(taken.map(({ data }) => [data.payload, data.truncated])).toEqual([[null, true]]);
    const { kinds, payloads } = await look();
    expect(kinds).toEqual(['aside']);
    expect(payloads).toEqual([{ page: 1, text: 'x'.repeat(PAYLOAD_BYTES) }]);
  });
});
