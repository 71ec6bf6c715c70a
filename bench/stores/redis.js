// @ts-check
import { Redis } from 'ioredis';
import { createShutdownBus } from 'shutdown-bus';
import { redisStore } from 'shutdown-bus/stores/redis';
import { compare, measurePairs } from '../pairs.js';
import { quietLogger } from './quiet.js';
import { startRedisServer } from './redis-server.js';

export const about =
  'jobs.begin, job.stored, complete with the Redis store against raw ioredis with autopipelining';
export const defaultRounds = 15;

const AT_A_TIME = 200;
const TURNS = 25;

/**
 * Ours: 200 jobs begin together, each completes when Redis has acknowledged it (`await job.stored`); the round ends when
 * the last deletion is acknowledged too. Reference: the same with HSET and HDEL of an ioredis client with
 * enableAutoPipelining, JSON.stringify of id, type, time and payload. 25 times one after the other.
 * @param {number} rounds
 */
export async function run(rounds) {
  const server = await startRedisServer();
  const bus = createShutdownBus({
    exit: false,
    signals: [],
    fatalErrors: false,
    notifiers: [],
    logger: quietLogger,
    store: redisStore({ url: server.url }),
  });
  const client = new Redis(server.url, { enableAutoPipelining: true });
  try {
    await bus.jobs.begin({ type: 'first' }).stored;
    const ours = () => microsecondsAJob(() => beginAndComplete(bus, client));
    const reference = () => microsecondsAJob(() => setAndDelete(client));
    await measurePairs(3, ours, reference);
    const pairs = await measurePairs(rounds, ours, reference);
    const name = 'Redis: begin, stored, complete';
    return [compare({ name, unit: 'µs', relation: 'ratio', goal: { atMost: 1.3 } }, pairs)];
  } finally {
    bus.dispose();
    client.disconnect();
    server.stop();
  }
}

/** @param {import('shutdown-bus').ShutdownBus} bus @param {Redis} client */
async function beginAndComplete(bus, client) {
  for (let turn = 0; turn < TURNS; turn += 1) {
    await Promise.all(
      Array.from({ length: AT_A_TIME }, async (_, n) => {
        const job = bus.jobs.begin({ type: 'render', payload: payloadOf(n) });
        await job.stored;
        job.complete();
      }),
    );
  }
  // What was sent before this on the other connection has long been answered; the one job from before is left.
  const key = `shutdown-bus:{${bus.instanceId}}:jobs`;
  while ((await client.hlen(key)) > 1) await new Promise((resolve) => setImmediate(resolve));
}

/** @param {Redis} client */
async function setAndDelete(client) {
  const key = 'raw:{0123456789ab}:jobs';
  for (let turn = 0; turn < TURNS; turn += 1) {
    await Promise.all(
      Array.from({ length: AT_A_TIME }, async (_, n) => {
        const id = String(turn * AT_A_TIME + n);
        const job = { id, type: 'render', startedAt: Date.now(), payload: payloadOf(n) };
        await client.hset(key, id, JSON.stringify(job));
        await client.hdel(key, id);
      }),
    );
  }
}

/** @param {number} n */
function payloadOf(n) {
  return { page: n, format: 'pdf', customer: `customer-${n % 1000}` };
}

/** @param {() => Promise<void>} loop */
async function microsecondsAJob(loop) {
  const startedAt = performance.now();
  await loop();
  return ((performance.now() - startedAt) * 1000) / (AT_A_TIME * TURNS);
}
