import {
  DelayedError,
  type Job,
  type Processor,
  Queue,
  UnrecoverableError,
  Worker,
  type WorkerOptions,
} from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type DrainedWorker, drainWorker } from '../../queues/bullmq.js';
import { GracefulExit, type ShutdownBus, type ShutdownBusOptions } from '../../src/index.js';
import { type MemoryNotifier, memoryNotifier } from '../../src/testing/memory-notifier.js';
import { type RedisServer, startRedis } from '../far-ends/redis.js';
import { gate, openBus, until } from '../http/service.js';
import type { LineLogger } from '../test-bus.js';

let redis: RedisServer;
let client: Redis;
let queues = 0;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  redis = await startRedis();
  client = new Redis(redis.connection);
}, 120_000);

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

afterAll(async () => {
  client?.disconnect();
  await redis?.stop();
});

interface Bench {
  readonly queue: Queue;
  readonly worker: Worker;
  readonly drained: DrainedWorker;
  readonly bus: ShutdownBus;
  readonly notifier: MemoryNotifier;
  readonly log: LineLogger;
}

interface BenchOptions {
  readonly bus?: ShutdownBusOptions;
  readonly worker?: Partial<WorkerOptions>;
}

function openWorker(
  queue: Queue,
  processor: Processor | string,
  options: BenchOptions['worker'] = {},
): Worker {
  const worker = new Worker(queue.name, processor, { connection: redis.connection, ...options });
  worker.on('error', () => {});
  cleanups.push(() => worker.close(true));
  return worker;
}

function openQueue(): Queue {
  const queue = new Queue(`render-${(queues += 1)}`, { connection: redis.connection });
  queue.on('error', () => {});
  cleanups.push(() => queue.close());
  return queue;
}

function openBench(processor: Processor | string, options: BenchOptions = {}): Bench {
  const queue = openQueue();
  const notifier = memoryNotifier();
  const { bus, log } = openBus({ budgetMs: 2000, notifiers: [notifier], ...options.bus });
  const worker = openWorker(queue, processor, options.worker);
  const drained = drainWorker(worker, { bus });
  cleanups.push(
    () => bus.dispose(),
    () => drained.dispose(),
  );
  return { queue, worker, drained, bus, notifier, log };
}

/** A processor that runs until its signal aborts, and then throws what the signal says. */
const untilAborted: Processor = (_job, _token, signal) =>
  new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });

const never: Processor = () => new Promise(() => {});

async function addActive(
  { queue, drained }: Pick<Bench, 'queue' | 'drained'>,
  data: unknown = {},
): Promise<Job> {
  const job = await queue.add('film', data);
  await until(() => drained.active > 0);
  return job;
}

/** How the queue sees a job now: its state, and all that counts against it. */
async function standing(queue: Queue, job: Job) {
  const found = (await queue.getJob(String(job.id))) as Job;
  const { attemptsMade, stalledCounter, failedReason } = found;
  return { state: await found.getState(), attemptsMade, stalledCounter, failedReason };
}

const untouched = { state: 'waiting', attemptsMade: 0, stalledCounter: 0, failedReason: undefined };

describe('a drained BullMQ worker', { timeout: 20_000 }, () => {
  it('lets the active job finish and takes no other', async () => {
    const held = gate<string>();
    const bench = openBench(() => held.opened);
    const first = await addActive(bench);
    const second = await bench.queue.add('film', {});
    const report = bench.bus.requestShutdown();
    await until(() => bench.worker.isPaused());
    held.open('done');
    const { jobs, exitCode } = await report;
    expect({ jobs, exitCode }).toMatchObject({ jobs: { open: 1, finished: 1, incomplete: 0 }, exitCode: 0 });
    expect(bench.drained.counts).toEqual({
      activeAtStop: 1,
      completed: 1,
      failed: 0,
      givenBack: 0,
      declined: 0,
      stranded: 0,
    });
    expect((await standing(bench.queue, first)).state).toBe('completed');
    expect(await standing(bench.queue, second)).toEqual(untouched);
  });

  it('ends an idle worker at once', async () => {
    const { bus, worker, drained } = openBench(never);
    await worker.waitUntilReady();
    const { durationMs, exitCode } = await bus.requestShutdown();
    expect(exitCode).toBe(0);
    expect(durationMs).toBeLessThan(900);
    await until(() => !worker.isRunning());
    expect(Object.values(drained.counts)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('gives back a job whose processor throws because of its signal, and reports it with its progress', async () => {
    const bench = openBench(async (job, token, signal) => {
      await job.updateProgress({ frame: 7 });
      return untilAborted(job, token, signal);
    });
    const job = await addActive(bench, { film: 'Metropolis' });
    await until(() => bench.bus.jobs[Symbol.iterator]().next().value?.progress !== undefined);
    const report = await bench.bus.requestShutdown();
    expect(await standing(bench.queue, job)).toEqual(untouched);
    expect(report).toMatchObject({ exitCode: 0, jobs: { incomplete: 1, delivered: 1 }, errors: [] });
    expect(bench.drained.counts).toMatchObject({ activeAtStop: 1, givenBack: 1, failed: 0 });
    expect(bench.notifier.received).toHaveLength(1);
    expect(bench.notifier.received[0]).toMatchObject({
      subject: `bull:${bench.queue.name}:${job.id}`,
      data: {
        jobType: 'film',
        payload: { film: 'Metropolis' },
        progress: { frame: 7 },
        outcome: 'interrupted',
      },
    });
  });

  it('gives it back before the report: the grace is not waited for to its end', async () => {
    const { queue, drained, bus } = openBench(untilAborted, {
      bus: { interruptGraceMs: 1500, budgetMs: 4000 },
    });
    await addActive({ queue, drained });
    const { handlers } = await bus.requestShutdown();
    const interrupt = handlers.find(({ name }) => name === 'interrupt open jobs');
    expect(interrupt?.durationMs).toBeLessThan(1200);
  });

  it('gives back a job whose processor takes no notice, after its report and before anything is closed', async () => {
    const bench = openBench(never);
    const job = await addActive(bench);
    const { lockManager } = bench.worker as unknown as { lockManager: { trackedJobs: Map<string, unknown> } };
    expect(lockManager.trackedJobs.size).toBe(1);
    // Still running, it must not have a lock renewed that it does not hold any more.
    const atGiveBack = new Promise<number>((resolve) =>
      bench.bus.on('handler-finished', ({ name }) => {
        if (name.startsWith('give back jobs')) resolve(lockManager.trackedJobs.size);
      }),
    );
    const { handlers, exitCode } = await bench.bus.requestShutdown();
    expect(await atGiveBack).toBe(0);
    expect(await standing(bench.queue, job)).toEqual(untouched);
    expect(bench.drained.counts).toMatchObject({ givenBack: 1, stranded: 0 });
    expect(bench.notifier.received).toHaveLength(1);
    expect(exitCode).toBe(0);
    const names = handlers.map(({ name }) => name);
    const { name } = bench.queue;
    expect(names.indexOf(`give back jobs of ${name}`)).toBeGreaterThan(names.indexOf('report open jobs'));
    expect(names.at(-1)).toBe(`close worker ${name}`);
  });

  it('also after SIGQUIT, which leaves out the drain', async () => {
    const bench = openBench(never, { bus: { budgetMs: 8000 } });
    const job = await addActive(bench);
    const report = await bench.bus.simulate({ kind: 'signal', signal: 'SIGQUIT' });
    expect(await standing(bench.queue, job)).toEqual(untouched);
    expect(report.durationMs).toBeLessThan(4000);
  });

  it('hands the signal to a processor with fewer parameters too, with a GracefulExit as its reason', async () => {
    const reasons: unknown[] = [];
    const bench = openBench((...args: unknown[]) => {
      const signal = args[2] as AbortSignal;
      signal.addEventListener('abort', () => reasons.push(signal.reason));
      return untilAborted(args[0] as Job, '', signal);
    });
    await addActive(bench);
    await bench.bus.requestShutdown();
    expect(reasons).toEqual([expect.any(GracefulExit)]);
  });

  it('stops a sandboxed processor by text, and gives its job back', async () => {
    const file = new URL('./sandboxed.cjs', import.meta.url).pathname;
    const bench = openBench(file);
    const job = await addActive(bench);
    await until(() => bench.bus.jobs[Symbol.iterator]().next().value?.progress === 'running');
    await bench.bus.requestShutdown();
    expect(bench.notifier.received[0]?.data.progress).toBe('told: interrupted by the shutdown (request)');
    expect(await standing(bench.queue, job)).toEqual(untouched);
  });

  it('lets a job that fails in time fail', async () => {
    const held = gate();
    const bench = openBench(async () => {
      await held.opened;
      throw new Error('no film');
    });
    const job = await addActive(bench);
    const report = bench.bus.requestShutdown();
    await until(() => bench.worker.isPaused());
    held.open();
    expect((await report).jobs).toMatchObject({ finished: 1, incomplete: 0 });
    expect(bench.drained.counts).toMatchObject({ failed: 1, givenBack: 0 });
    expect(await standing(bench.queue, job)).toMatchObject({ state: 'failed', failedReason: 'no film' });
  });

  it('leaves the last word to a processor that says what becomes of its job', async () => {
    const verdicts: Processor = async (job, token, signal) => {
      await untilAborted(job, token, signal).catch(() => {});
      if (job.data.verdict === 'fail') throw new UnrecoverableError('never again');
      if (job.data.verdict === 'return') return 'half a film';
      await job.moveToDelayed(Date.now() + 60_000, token);
      throw new DelayedError();
    };
    const bench = openBench(verdicts, { worker: { concurrency: 3 } });
    const jobs = [];
    for (const verdict of ['fail', 'return', 'delay']) jobs.push(await bench.queue.add('film', { verdict }));
    await until(() => bench.drained.active === 3);
    await bench.bus.requestShutdown();
    const states = await Promise.all(jobs.map(async (job) => (await standing(bench.queue, job)).state));
    expect(states).toEqual(['failed', 'completed', 'delayed']);
    expect(bench.notifier.received.map(({ data }) => data.payload)).toEqual([{ verdict: 'delay' }]);
    expect(bench.drained.counts).toMatchObject({ completed: 1, failed: 1, givenBack: 0 });
  });

  it('declines a job that comes while the worker is already told to pause', async () => {
    let calls = 0;
    const bench = openBench(async () => {
      calls += 1;
    });
    // It waits for a job in Redis, which does not hear of the pause.
    while (!(await client.info('clients')).includes('blocked_clients:1'));
    const held = gate();
    bench.bus.subscribeShutdown(() => held.opened, { name: 'held', phase: 'drain' });
    const report = bench.bus.requestShutdown();
    await until(() => bench.worker.isPaused());
    const job = await bench.queue.add('film', {});
    await until(() => bench.drained.counts.declined === 1);
    held.open();
    expect((await report).jobs).toMatchObject({ open: 0, begun: 0, incomplete: 0 });
    expect(calls).toBe(0);
    expect(await standing(bench.queue, job)).toEqual(untouched);
  });
});

describe('what stands in a drained worker’s way', { timeout: 20_000 }, () => {
  it('a Redis that does not answer costs a second at most, and the job is reported all the same', async () => {
    const bench = openBench(never, { bus: { budgetMs: 4000 } });
    await addActive(bench);
    redis.freeze();
    cleanups.push(() => redis.thaw());
    const { durationMs, handlers, exitCode } = await bench.bus.requestShutdown();
    redis.thaw();
    expect(bench.notifier.received).toHaveLength(1);
    expect(durationMs).toBeLessThan(4000);
    expect(bench.drained.counts).toMatchObject({ givenBack: 0, stranded: 1 });
    expect(handlers.filter(({ outcome }) => outcome !== 'done')).toEqual([]);
    expect(exitCode).toBe(0);
    expect(bench.log.lines.join('\n')).toContain('the queue did not answer in time, 1 jobs may not');
  });

  it('a close() of the application’s own waits for its jobs; the shutdown does not wait for it', async () => {
    const held = gate();
    cleanups.push(() => held.open());
    const bench = openBench(() => held.opened);
    const job = await addActive(bench);
    bench.bus.on('stopping', () => void bench.worker.close());
    const { durationMs, exitCode } = await bench.bus.requestShutdown();
    expect(durationMs).toBeLessThan(2250);
    expect(exitCode).toBe(0);
    expect(await standing(bench.queue, job)).toEqual(untouched);
    expect(bench.log.lines.join('\n')).toContain('is not closed: its close() waits');
    held.open();
  });

  it('a worker that is attached to late gives back what was active before', async () => {
    const queue = openQueue();
    const failed: unknown[] = [];
    let running = false;
    const worker = openWorker(queue, (job, token, signal) => {
      running = true;
      return untilAborted(job, token, signal);
    });
    worker.on('failed', (job) => failed.push(job));
    const notifier = memoryNotifier();
    const { bus } = openBus({ budgetMs: 2000, notifiers: [notifier] });
    cleanups.push(() => bus.dispose());
    const job = await queue.add('film', { film: 'Faust' });
    await until(() => running);
    const drained = drainWorker(worker, { bus });
    await until(() => drained.active === 1);
    await bus.requestShutdown();
    expect(notifier.received.map(({ data }) => data.payload)).toEqual([{ film: 'Faust' }]);
    expect(await standing(queue, job)).toEqual(untouched);
    expect(failed).toEqual([]);
  });

  it('a job whose lock was lost is none of ours when its processor ends', async () => {
    const held = gate();
    const bench = openBench(() => held.opened);
    const job = await addActive(bench);
    await client.del(bench.queue.toKey(`${job.id}:lock`));
    held.open();
    await until(() => bench.drained.active === 0);
    expect(bench.bus.jobs.size).toBe(0);
  });

  it('a stalled job that comes to the same process again is a job of its own', async () => {
    const bench = openBench(never, { worker: { stalledInterval: 20 } });
    const job = await addActive(bench);
    await client.del(bench.queue.toKey(`${job.id}:lock`));
    const second = openWorker(bench.queue, never, { stalledInterval: 20 });
    const drained = drainWorker(second, { bus: bench.bus });
    await until(() => drained.active === 1);
    const ids = [...bench.bus.jobs].map(({ id }) => id);
    expect(ids[0]).toBe(`bull:${bench.queue.name}:${job.id}`);
    expect(ids[1]).toMatch(new RegExp(`^${ids[0]}~`));
    drained.dispose();
  });
});

describe('without drainWorker', () => {
  it('close(true) leaves the job where no other worker sees it', async () => {
    const bench = openBench(untilAborted);
    const job = await addActive(bench);
    bench.drained.dispose();
    await bench.worker.close(true);
    expect((await standing(bench.queue, job)).state).toBe('active');
  });

  it('a processor that throws by its signal uses up an attempt: here, the only one', async () => {
    const bench = openBench(untilAborted);
    const job = await addActive(bench);
    bench.drained.dispose();
    await new Promise((resolve) => {
      bench.worker.once('failed', resolve);
      bench.worker.cancelJob(String(job.id), 'the end');
    });
    expect(await standing(bench.queue, job)).toMatchObject({ state: 'failed', attemptsMade: 1 });
  });
});

describe('drainWorker', () => {
  it('takes a worker of any types', async () => {
    const connection = redis.connection;
    const options = { connection, autorun: false };
    const worker = new Worker<{ film: string }, number, 'encode'>('typed', async () => 7, options);
    const { bus } = openBus();
    drainWorker(worker, { bus }).dispose();
    bus.dispose();
    await worker.close(true);
  });

  const refusal = (work: () => unknown) => {
    try {
      work();
    } catch (error) {
      expect(error).toMatchObject({ name: 'ShutdownError', code: 'INVALID_OPTION' });
      return (error as Error).message;
    }
    throw new Error('nothing was refused');
  };

  it('refuses what it cannot drain, and says what it can', () => {
    const { worker, bus, queue } = openBench(never);
    expect(refusal(() => drainWorker(queue as never, { bus }))).toContain('allowed: a Worker of BullMQ');
    expect(refusal(() => drainWorker(undefined as never, { bus }))).toContain('allowed: a Worker of BullMQ');
    expect(refusal(() => drainWorker(worker, { bus }))).toContain('is drained already');
    const byHand = openWorker(queue, undefined as never);
    expect(refusal(() => drainWorker(byHand, { bus }))).toContain('allowed: one with a processor');
  });

  it('refuses options it does not know, and a bus that is none', () => {
    const { queue } = openBench(never);
    const worker = openWorker(queue, never, { autorun: false });
    expect(refusal(() => drainWorker(worker, { buss: 1 } as never))).toContain(
      '"buss" is no option, allowed: bus',
    );
    expect(refusal(() => drainWorker(worker, { bus: {} as never }))).toContain('bus is no bus');
  });

  it('leaves nothing on the worker when the bus takes no more handlers', () => {
    const { queue } = openBench(never);
    const worker = openWorker(queue, never, { autorun: false });
    const { bus } = openBus();
    bus.dispose();
    const before = worker.eventNames().map((name) => [name, worker.listenerCount(name)]);
    expect(() => drainWorker(worker, { bus })).toThrow(expect.objectContaining({ code: 'BUS_DISPOSED' }));
    expect(worker.eventNames().map((name) => [name, worker.listenerCount(name)])).toEqual(before);
    expect(Object.hasOwn(worker, 'callProcessJob')).toBe(false);
  });

  it('dispose gives the worker back as it was and takes its jobs off the bus', async () => {
    const bench = openBench(never);
    await addActive(bench);
    bench.drained.dispose();
    bench.drained.dispose();
    expect(bench.bus.jobs.size).toBe(0);
    expect(Object.hasOwn(bench.worker, 'processJob')).toBe(false);
    const { handlers, durationMs } = await bench.bus.requestShutdown();
    expect(handlers.map(({ name }) => name).join()).not.toContain('worker');
    expect(durationMs).toBeLessThan(900);
    drainWorker(bench.worker, { bus: openBus().bus }).dispose();
  });

  it('a worker that the application closes leaves the bus', async () => {
    const bench = openBench(never);
    await bench.worker.waitUntilReady();
    await bench.worker.close();
    const { handlers } = await bench.bus.requestShutdown();
    expect(handlers.map(({ name }) => name).join()).not.toContain('worker');
  });

  it('one that it closes by force leaves the bus with its last job', async () => {
    const { opened, open } = gate();
    const bench = openBench(() => opened);
    await addActive(bench);
    await bench.worker.close(true);
    expect(bench.drained.active).toBe(1);
    open();
    await until(() => bench.drained.active === 0);
    const { handlers } = await bench.bus.requestShutdown();
    expect(handlers.map(({ name }) => name).join()).not.toContain('worker');
  });
});
