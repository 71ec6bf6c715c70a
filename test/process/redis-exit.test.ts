import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../far-ends/redis.js';
import { deadPort } from '../far-ends/silent-server.js';
import { type Child, type Ending, envelopesIn, start } from './child.js';

let redis: RedisServer;
const children: Child[] = [];
beforeAll(async () => {
  redis = await startRedis();
}, 60_000);
afterEach(() => {
  redis.thaw();
  for (const child of children.splice(0)) child.process.kill('SIGKILL');
});
afterAll(() => redis?.stop());

/** It begins so many jobs, completes so many, and then works on, or has nothing else to do. */
function run(begins: number, completes: number, then: 'works on' | 'ends', port = redis.port): Child {
  const child = start('stored-jobs.js', {
    args: [String(begins), String(completes), then],
    env: { SHUTDOWN_STORE: `redis://127.0.0.1:${port}`, SHUTDOWN_BUDGET_MS: '2000' },
  });
  children.push(child);
  return child;
}

const reasons = ({ stdout }: Ending) => envelopesIn(stdout).map(({ data }) => data.reason);

describe('a process with a store in Redis that has nothing else to do', () => {
  it('ends by itself when no job is open: none was begun, or all are completed', async () => {
    for (const begins of [0, 3]) {
      const ended = await run(begins, begins, 'ends').ended;
      expect(ended).toMatchObject({ code: 0, signal: null, stdout: expect.stringContaining('ready') });
      expect(reasons(ended)).toEqual([]);
      expect(ended.stderr).toBe('');
    }
  });

  it('reports a job that is left open as idle', async () => {
    const ended = await run(3, 2, 'ends').ended;
    expect(ended).toMatchObject({ code: 0, stdout: expect.stringContaining('ready') });
    expect(reasons(ended)).toEqual(['idle']);
  });

  it.each([
    ['frozen', true],
    ['not there', false],
  ])(
    'is not kept by a Redis that is %s: the job that waits for it is reported as idle',
    async (_what, isFrozen) => {
      if (isFrozen) redis.freeze();
      const startedMs = performance.now();
      const ended = await run(1, 0, 'ends', isFrozen ? redis.port : await deadPort()).ended;
      expect(reasons(ended)).toEqual(['idle']);
      expect(ended.code).toBe(0);
      // One second of patience with Redis, two of the budget, one for its close.
      expect(performance.now() - startedMs).toBeLessThan(8000);
      expect(ended.stderr.match(/the job store redis failed/g)).toHaveLength(1);
    },
  );
});

describe('SIGTERM while Redis is frozen', () => {
  it('the jobs are reported by the process itself, in time', async () => {
    const child = run(5, 0, 'works on');
    await child.line('ready');
    redis.freeze();
    await child.line('the job store redis failed');
    child.kill('SIGTERM');
    const ended = await child.ended;
    expect(reasons(ended)).toEqual(Array.from({ length: 5 }, () => 'SIGTERM'));
    expect(ended.code).toBe(0);
    expect(ended.afterKillMs).toBeLessThan(4000);
  });
});
