import { type Job, Queue } from 'bullmq';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../far-ends/redis.js';
import { type Child, envelopesIn, start } from './child.js';

let redis: RedisServer;
let queue: Queue;
let queues = 0;
const children: Child[] = [];

beforeAll(async () => {
  redis = await startRedis();
}, 120_000);

afterEach(async () => {
  for (const child of children.splice(0)) child.process.kill('SIGKILL');
  await Promise.race([queue.close(), queue.disconnect()]);
});

afterAll(() => redis?.stop());

async function openQueue({ connection }: RedisServer = redis): Promise<Job> {
  queue = new Queue(`films-${(queues += 1)}`, { connection });
  queue.on('error', () => {});
  return queue.add('film', { film: 'Metropolis' });
}

async function startWorker(
  ending: 'drained' | 'plain',
  manner: 'finishing' | 'endless' | 'deaf' | 'held',
  { port }: RedisServer = redis,
): Promise<Child> {
  const args = [String(port), queue.name, ending, manner];
  const child = start('bullmq-worker.js', { args });
  children.push(child);
  await child.line('ready');
  return child;
}

/** A worker that holds the job, and the same worker after SIGTERM. */
async function interrupted(ending: 'drained' | 'plain', manner: 'endless' | 'deaf') {
  const child = await startWorker(ending, manner);
  await child.line('progress written');
  child.kill('SIGTERM');
  return child.ended;
}

async function found(job: Job): Promise<Job & { state: string }> {
  const now = (await queue.getJob(String(job.id))) as Job;
  return Object.assign(now, { state: await now.getState() });
}

describe('SIGTERM to a BullMQ worker with an active job', () => {
  it.each(['endless', 'deaf'] as const)(
    'twice in a row: another process finishes the %s job, and nothing is held against it',
    async (manner) => {
      const job = await openQueue();
      for (const _ of [1, 2]) {
        const { code, stdout, stderr } = await interrupted('drained', manner);
        expect({ code, errors: stderr.match(/^.*Error.*$/m) }).toEqual({ code: 0, errors: null });
        expect(stdout).not.toMatch(/^failed|^stalled/m);
        const [envelope, ...others] = envelopesIn(stdout);
        expect(others).toEqual([]);
        expect(envelope).toMatchObject({
          subject: `bull:${queue.name}:${job.id}`,
          data: { jobType: 'film', payload: { film: 'Metropolis' }, reason: 'SIGTERM' },
        });
        expect(envelope?.data.progress).toEqual({ by: expect.any(Number) });
        expect(await found(job)).toMatchObject({ state: 'waiting', attemptsMade: 0, stalledCounter: 0 });
      }
      const last = await startWorker('drained', 'finishing');
      await last.line(`completed ${job.id}`);
      const { state, attemptsMade, stalledCounter, returnvalue } = await found(job);
      expect({ state, attemptsMade, stalledCounter }).toEqual({
        state: 'completed',
        attemptsMade: 1,
        stalledCounter: 0,
      });
      expect(returnvalue).toBe(`done by ${last.process.pid}`);
    },
  );

  it('a worker that waits takes the job before the first one has ended', async () => {
    const job = await openQueue();
    const first = await startWorker('drained', 'held');
    await first.line('progress written');
    const second = await startWorker('drained', 'finishing');
    first.kill('SIGTERM');
    let ended = false;
    void first.ended.then(() => {
      ended = true;
    });
    await second.line(`completed ${job.id}`);
    expect(ended).toBe(false);
    first.process.stdin?.end();
    second.kill('SIGTERM');
    expect(await Promise.all([first.ended, second.ended])).toMatchObject([{ code: 0 }, { code: 0 }]);
  });

  it('a Redis that is gone does not keep the process: the job is reported, and the exit is in time', async () => {
    const mortal = await startRedis();
    const job = await openQueue(mortal);
    const child = await startWorker('drained', 'endless', mortal);
    await child.line('progress written');
    await mortal.stop();
    child.kill('SIGTERM');
    const { code, stdout, stderr, afterKillMs } = await child.ended;
    expect(code).toBe(0);
    expect(afterKillMs).toBeLessThan(2250);
    expect(envelopesIn(stdout).map(({ subject }) => subject)).toEqual([`bull:${queue.name}:${job.id}`]);
    expect(stderr).toContain('the queue did not answer in time, 1 jobs may not have been given back');
    queue.disconnect();
  });

  it('without drainWorker the job is active for nobody, recovered as stalled, and failed the second time', async () => {
    const job = await openQueue();
    for (const stalls of [0, 1]) {
      expect(await interrupted('plain', 'endless')).toMatchObject({ code: null, signal: 'SIGTERM' });
      expect(await found(job)).toMatchObject({ state: 'active', stalledCounter: stalls });
    }
    const last = await startWorker('plain', 'finishing');
    await last.line(`failed ${job.id} job stalled more than allowable limit`);
    expect(await found(job)).toMatchObject({ state: 'failed', stalledCounter: 2 });
  });
});
