import { describe, expect, it } from 'vitest';
import { GracefulExit, Interrupt, isShutdownError, type Job } from '../../src/index.js';
import { createTestBus, never, pass, settle } from '../test-bus.js';

describe('the job registry', () => {
  it('A30: begin keeps id and payload until the job is done', () => {
    const { bus } = createTestBus();
    const job = bus.jobs.begin({ type: 'render', payload: { page: 7 }, id: 'r-7' });
    expect([...bus.jobs].map(({ id, type, payload }) => ({ id, type, payload }))).toEqual([
      { id: 'r-7', type: 'render', payload: { page: 7 } },
    ]);
    expect(job.startedAt).toBe('2030-01-01T00:00:00.000Z');
  });

  it('an option that does not exist is told of once, and the job is begun all the same', () => {
    const { bus, lines } = createTestBus();
    const misspelt = { type: 'render', id: 'r1', timeout: 5 };
    bus.jobs.begin(misspelt);
    bus.jobs.begin({ ...misspelt, id: 'r2' });
    bus.jobs.begin({ type: 'render', id: 'r3', payload: undefined, ...{ timeoutMs: undefined } });
    expect(bus.jobs.size).toBe(3);
    expect(lines).toEqual([
      expect.stringContaining('job render r1: "timeout" is no option, allowed: type, payload, id, timeoutMs'),
    ]);
  });

  it('work that is no function is refused before the job is begun', async () => {
    const { bus } = createTestBus();
    const run = bus.jobs.run({ type: 'render' }, undefined as never);
    await expect(run).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: 'the work of job "render" is undefined; allowed: a function, whose promise ends the job',
    });
    expect(bus.jobs.size).toBe(0);
  });

  it('A31: a finished job leaves on return, on throw and on dispose, and is never reported', async () => {
    const { bus, notifier } = createTestBus();
    await bus.jobs.run({ type: 'returns' }, () => 'result');
    await expect(
      bus.jobs.run({ type: 'throws' }, () => {
        throw new TypeError('bad input');
      }),
    ).rejects.toThrow('bad input');
    bus.jobs.begin({ type: 'disposed' })[Symbol.dispose]();
    expect(bus.jobs.size).toBe(0);
    await bus.requestShutdown();
    expect(notifier.received).toEqual([]);
  });

  it('A31, negative twin: the same jobs are reported when nothing completes them', async () => {
    const { bus, notifier, clock } = createTestBus();
    void bus.jobs.run({ type: 'returns' }, never);
    bus.jobs.begin({ type: 'disposed' });
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 500);
    await running;
    expect(notifier.received.map(({ data }) => data.jobType)).toEqual(['returns', 'disposed']);
  });

  it('run gives back what the work gives', async () => {
    const { bus } = createTestBus();
    await expect(bus.jobs.run({ type: 'sum' }, async (job) => job.type.length)).resolves.toBe(3);
  });

  it('complete is idempotent and says job-finished once', () => {
    const { bus } = createTestBus();
    const finished: string[] = [];
    bus.on('job-finished', ({ id }) => void finished.push(id));
    const job = bus.jobs.begin({ type: 'render' });
    job.complete();
    job.complete();
    expect(finished).toEqual([job.id]);
  });

  it('ids of its own are unique beside chosen ones that look like them', () => {
    const { bus } = createTestBus();
    const ids = [undefined, '2', undefined, '4', undefined].map(
      (id) => bus.jobs.begin({ type: 'x', ...(id && { id }) }).id,
    );
    expect(new Set(ids).size).toBe(5);
  });

  it('an id of an open job is refused, one of a finished job is not', () => {
    const { bus } = createTestBus();
    const first = bus.jobs.begin({ type: 'render', id: 'r' });
    expect(() => bus.jobs.begin({ type: 'render', id: 'r' })).toThrow(
      /"r" \(render\) belongs to a job that is still open/,
    );
    first.complete();
    expect(bus.jobs.begin({ type: 'render', id: 'r' }).id).toBe('r');
  });

  it('an id that was reported is called by another text, which no other job is called by', async () => {
    const { bus, clock, notifier } = createTestBus();
    const limits = { timeoutMs: 100, gracefulTimeoutMs: 200 };
    bus.jobs.begin({ type: 'render', id: 'a', ...limits });
    await pass(clock, 300, 100);
    // The third and fourth job: their keys would be theirs as well.
    bus.jobs.begin({ type: 'render', id: 'a~4' });
    bus.jobs.begin({ type: 'render', id: 'a~3' });
    bus.jobs.begin({ type: 'render', id: 'a', ...limits });
    await pass(clock, 300, 100);
    bus.jobs.begin({ type: 'render', id: 'a~5' });
    void bus.requestShutdown();
    await pass(clock, 10_000, 500);
    const ids = notifier.received.map(({ id }) => id.slice(id.indexOf('/') + 1));
    expect(ids).toHaveLength(5);
    expect(new Set(ids).size).toBe(5);
    expect(notifier.received.map(({ subject }) => subject).sort()).toEqual(['a', 'a', 'a~3', 'a~4', 'a~5']);
  });

  it.each([
    [{}, /type is undefined/],
    [{ type: '' }, /type is ""/],
    [{ type: 'x', id: '' }, /id is ""/],
    [{ type: 'x', timeoutMs: 0 }, /timeoutMs is 0/],
    [{ type: 'x', timeoutMs: Number.NaN }, /timeoutMs is NaN/],
    [{ type: 'x', timeoutMs: 2 ** 31 }, /timeoutMs is 2147483648/],
    [{ type: 'x', gracefulTimeoutMs: 5 }, /only together with timeoutMs/],
    [{ type: 'x', timeoutMs: 5, gracefulTimeoutMs: 5 }, /larger than timeoutMs 5/],
  ])('bad options are refused with what is allowed: %j', (options, message) => {
    const { bus } = createTestBus();
    expect(() => bus.jobs.begin(options as never)).toThrow(message);
    expect(bus.jobs.size).toBe(0);
  });

  it('jobs may begin until the snapshot and not after it', async () => {
    const { bus, notifier } = createTestBus({ interruptGraceMs: 0 });
    let late: unknown;
    bus.subscribeShutdown(() => void bus.jobs.begin({ type: 'begun in the drain' }).complete(), {
      name: 'd',
      phase: 'drain',
    });
    bus.subscribeShutdown(
      () => {
        try {
          bus.jobs.begin({ type: 'begun too late' });
        } catch (error) {
          late = error;
        }
      },
      { name: 'r' },
    );
    const report = await bus.requestShutdown();
    expect(report.jobs).toMatchObject({ begun: 1, finished: 1, incomplete: 0 });
    expect(isShutdownError(late, 'REGISTRY_SEALED')).toBe(true);
    expect(notifier.received).toEqual([]);
  });

  it('stopping aborts at the trigger, signal only after the drain', async () => {
    const { bus, clock } = createTestBus();
    const job = bus.jobs.begin({ type: 'render' });
    const { stopping, signal } = job;
    expect([stopping.aborted, signal.aborted]).toEqual([false, false]);
    const running = bus.requestShutdown();
    await settle();
    expect([stopping.aborted, signal.aborted]).toEqual([true, false]);
    await pass(clock, 4999, 4999);
    expect(signal.aborted).toBe(false);
    await pass(clock, 1);
    expect(signal.aborted).toBe(true);
    job.complete();
    expect((await running).jobs).toMatchObject({ open: 1, finished: 1, incomplete: 0 });
  });

  it('a signal first asked for after the abort is aborted already', async () => {
    const { bus, clock } = createTestBus();
    const job = bus.jobs.begin({ type: 'render' });
    const running = bus.requestShutdown();
    await pass(clock, 5000, 500);
    expect(job.signal.reason).toBeInstanceOf(GracefulExit);
    expect(job.stopping.aborted).toBe(true);
    await pass(clock, 5000, 500);
    await running;
  });

  it('SIGTERM interrupts with a GracefulExit, SIGINT with a plain Interrupt', async () => {
    for (const [signal, graceful] of [
      ['SIGTERM', true],
      ['SIGINT', false],
    ] as const) {
      const { bus, host, clock } = createTestBus();
      const job = bus.jobs.begin({ type: 'render' });
      const abort = job.signal;
      host.kill(signal);
      await pass(clock, 5000, 500);
      expect(abort.reason).toBeInstanceOf(Interrupt);
      expect(abort.reason instanceof GracefulExit).toBe(graceful);
      expect(abort.reason).toMatchObject({ signal, message: `${signal} received.` });
    }
  });

  it('work that throws because it was interrupted stays incomplete; without looking at the signal it is complete', async () => {
    const { bus, clock, notifier } = createTestBus();
    const looks = (job: Job) =>
      new Promise((_resolve, reject) =>
        job.signal.addEventListener('abort', () => reject(job.signal.reason)),
      );
    const own = bus.jobs.run({ type: 'looks' }, looks);
    const wrapped = bus.jobs.run({ type: 'wraps' }, (job) =>
      looks(job).catch((cause) => Promise.reject(new Error('render failed', { cause }))),
    );
    let fail!: () => void;
    const blind = bus.jobs.run(
      { type: 'fails by itself' },
      () => new Promise((_r, reject) => (fail = () => reject(new Error('disk')))),
    );
    const outcomes = Promise.allSettled([own, wrapped, blind]);
    const running = bus.requestShutdown();
    await settle();
    fail();
    await pass(clock, 10_000, 500);
    await Promise.all([running, outcomes]);
    expect(notifier.received.map(({ data }) => data.jobType)).toEqual(['looks', 'wraps']);
  });

  it('an interrupted job that has ended is not waited for', async () => {
    const { bus, clock } = createTestBus();
    const work = bus.jobs
      .run(
        { type: 'looks' },
        (job) =>
          new Promise((_r, reject) => job.signal.addEventListener('abort', () => reject(job.signal.reason))),
      )
      .catch((error: Error) => error);
    const running = bus.requestShutdown();
    await pass(clock, 5000, 500);
    const report = await running;
    expect(await work).toBeInstanceOf(GracefulExit);
    expect(report.durationMs).toBe(5000);
  });

  it('the last checkpoint travels with the report', async () => {
    const { bus, clock, notifier } = createTestBus({ interruptGraceMs: 0 });
    const job = bus.jobs.begin({ type: 'import' });
    job.checkpoint({ rows: 10 });
    job.checkpoint({ rows: 20 });
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 500);
    await running;
    expect(notifier.received[0]?.data.progress).toEqual({ rows: 20 });
  });

  it('A22: no jobs at all: nothing is sent and nothing throws', async () => {
    const { bus, notifier } = createTestBus();
    const report = await bus.requestShutdown();
    expect(notifier.received).toEqual([]);
    expect(report.notifiers).toEqual([]);
    expect(report.exitCode).toBe(0);
  });

  it('a job costs no AbortController until it is asked for one', () => {
    const { bus } = createTestBus();
    const before = globalThis.AbortController;
    let made = 0;
    globalThis.AbortController = class extends before {
      constructor() {
        super();
        made += 1;
      }
    };
    try {
      const job = bus.jobs.begin({ type: 'render' });
      expect(made).toBe(0);
      void job.signal;
      expect(made).toBe(1);
    } finally {
      globalThis.AbortController = before;
    }
  });
});
