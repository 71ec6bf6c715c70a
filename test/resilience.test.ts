import { describe, expect, it } from 'vitest';
import type { Envelope, Notifier, Receipt } from '../src/index.js';
import { createTestBus, never, pass, settle } from './test-bus.js';

const accept = (batch: readonly Envelope[]): Receipt[] =>
  batch.map(({ id }) => ({ id, status: 'delivered' }));

describe('what goes wrong around a shutdown costs no job its report', () => {
  it.each<[string, (line: string) => void]>([
    [
      'throws',
      () => {
        throw new Error('disk full');
      },
    ],
    ['rejects', (() => Promise.reject(new Error('disk full'))) as () => void],
  ])('a logger that %s', async (_how, log) => {
    const { bus, clock, notifier } = createTestBus({ logger: { info: log, warn: log, error: log } });
    bus.jobs.begin({ type: 'render' });
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 500);
    expect((await running).exitCode).toBe(0);
    expect(notifier.received).toHaveLength(1);
  });

  it('an early report under way at the trigger is waited for and not sent twice', async () => {
    let calls = 0;
    const slow: Notifier = {
      name: 'slow',
      deliver: async (batch) => {
        calls += 1;
        await new Promise<void>((resolve) => void clock.setTimeout(resolve, 700));
        return accept(batch);
      },
    };
    const { bus, clock } = createTestBus({ notifiers: [slow], interruptGraceMs: 0, reserveMs: 4000 });
    bus.jobs.begin({ type: 'render', timeoutMs: 50, gracefulTimeoutMs: 100 });
    await pass(clock, 100);
    expect(calls).toBe(1);
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 100);
    const report = await running;
    expect(calls).toBe(1);
    expect(report.jobs).toMatchObject({ incomplete: 0, delivered: 0, expired: 0 });
    expect(report.exitCode).toBe(0);
  });

  it('a job accepted early does not hide one that is never accepted', async () => {
    const picky: Notifier = {
      name: 'picky',
      deliver: async (batch) => (batch[0]?.data.jobType === 'good' ? accept(batch) : never()),
    };
    const { bus, clock } = createTestBus({ notifiers: [picky] });
    bus.jobs.begin({ type: 'good', timeoutMs: 50, gracefulTimeoutMs: 100 });
    bus.jobs.begin({ type: 'bad' });
    await pass(clock, 200);
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 100);
    expect(await running).toMatchObject({ exitCode: 1, jobs: { incomplete: 1, delivered: 0, expired: 1 } });
  });

  it('an error that nobody caught during the shutdown makes the exit code 1', async () => {
    const { bus, host, lines } = createTestBus();
    bus.subscribeShutdown(() => void host.emit('uncaughtException', new Error('flush failed')), {
      name: 'careless',
    });
    expect((await bus.requestShutdown()).exitCode).toBe(1);
    expect(lines.join('\n')).toMatch(/exit code 1 because of an error that nobody caught/);
  });

  it('the release phase cannot take delivery its reserve', async () => {
    const { bus, clock, notifier } = createTestBus({ budgetMs: 3000 });
    bus.jobs.begin({ type: 'render' });
    bus.subscribeShutdown(() => {}, { name: 'greedy', reserveMs: 3000 });
    const running = bus.requestShutdown();
    await pass(clock, 3000, 100);
    expect((await running).exitCode).toBe(0);
    expect(notifier.received).toHaveLength(1);
  });

  it('a bus disposed during its run keeps its listeners to the end of it', async () => {
    const { bus, host } = createTestBus();
    const seen: number[] = [];
    bus.subscribeShutdown(
      () => {
        bus.dispose();
        seen.push(host.listenerCount('SIGTERM'));
      },
      { name: 'disposer', phase: 'intake' },
    );
    await bus.requestShutdown();
    seen.push(host.listenerCount('SIGTERM'));
    expect(seen).toEqual([1, 0]);
  });

  it.each<[string, Partial<Notifier>]>([
    ['endless concurrency', { maxConcurrency: Number.POSITIVE_INFINITY }],
    ['concurrency that is no number', { maxConcurrency: Number.NaN }],
    ['a batch size that is no number', { maxBatchSize: Number.NaN }],
    ['a batch limit that is no number', { maxBatchBytes: Number.NaN }],
  ])('a notifier with %s still delivers', async (_what, odd) => {
    const got: string[] = [];
    const notifier: Notifier = {
      name: 'odd',
      deliver: async (batch) => {
        got.push(...batch.map(({ subject }) => subject));
        return accept(batch);
      },
      ...odd,
    };
    const { bus, clock } = createTestBus({ notifiers: [notifier] });
    for (const id of ['a', 'b']) bus.jobs.begin({ type: 'render', id });
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 500);
    await running;
    expect(got.sort()).toEqual(['a', 'b']);
  });

  it('a Retry-After that is no number is no reason to give up', async () => {
    const flaky: Notifier = {
      name: 'flaky',
      deliver: async (batch, { attempt }) =>
        attempt > 1
          ? accept(batch)
          : batch.map(({ id }) => ({
              id,
              status: 'retryable',
              error: new Error('busy'),
              retryAfterMs: Number.NaN,
            })),
    };
    const { bus, clock } = createTestBus({ notifiers: [flaky] });
    bus.jobs.begin({ type: 'render' });
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 100);
    expect((await running).jobs.delivered).toBe(1);
  });

  it('an exit function that fails does not keep the process', async () => {
    const { bus, host } = createTestBus({
      exit: () => {
        throw new Error('no way out');
      },
    });
    await bus.requestShutdown();
    expect(await host.exited).toBe(1);
  });

  it('process.exit(0) by the application with a job open is no success', () => {
    const { bus, host } = createTestBus();
    bus.jobs.begin({ type: 'render' });
    host.emit('exit', 0);
    expect(host.exitCode).toBe(1);
  });

  it('an id that was reported is not given to another job', async () => {
    const { bus, clock, notifier } = createTestBus();
    bus.jobs.begin({ type: 'first', id: '2', timeoutMs: 10, gracefulTimeoutMs: 20 });
    await pass(clock, 100);
    const second = bus.jobs.begin({ type: 'second' });
    await settle();
    expect(notifier.received.map(({ subject }) => subject)).toEqual(['2']);
    expect(second.id).not.toBe('2');
  });
});
