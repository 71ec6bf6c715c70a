import { describe, expect, it } from 'vitest';
import { isShutdownError, type ShutdownReason } from '../src/index.js';
import { createTestBus, never, pass, settle } from './test-bus.js';

describe('the run', () => {
  it('A02: the reason tells signal, error, memory, request and idle apart', async () => {
    const seen: ShutdownReason['kind'][] = [];
    const triggers: ((made: ReturnType<typeof createTestBus>) => unknown)[] = [
      ({ host }) => host.kill('SIGTERM'),
      ({ host }) => host.emit('uncaughtException', new Error('boom')),
      ({ host }) => host.emit('unhandledRejection', new Error('boom')),
      ({ bus }) => void bus.requestShutdown('deploy'),
      ({ bus, host }) => {
        bus.jobs.begin({ type: 'waits for ever' });
        host.emit('beforeExit', 0);
      },
    ];
    for (const trigger of triggers) {
      const made = createTestBus({ interruptGraceMs: 0 });
      made.bus.subscribeShutdown(({ reason }) => void seen.push(reason.kind), {
        name: 'watch',
        phase: 'intake',
      });
      trigger(made);
      await settle();
    }
    expect(seen).toEqual(['signal', 'error', 'error', 'request', 'idle']);
  });

  it('runs higher priorities first, equal ones together, and every phase in order', async () => {
    const { bus } = createTestBus();
    const order: string[] = [];
    const add = (name: string, options: object) =>
      bus.subscribeShutdown(() => void order.push(name), { name, ...options });
    add('release', {});
    add('deliver', { phase: 'deliver' });
    add('between', { priority: 250 });
    add('drain', { phase: 'drain' });
    add('intake', { phase: 'intake' });
    add('last', { priority: -5 });
    await bus.requestShutdown();
    expect(order).toEqual(['intake', 'between', 'drain', 'deliver', 'release', 'last']);
  });

  it('runs handlers of one priority together: the second begins before the first has ended', async () => {
    const { bus, clock } = createTestBus();
    const order: string[] = [];
    bus.subscribeShutdown(
      async () => {
        order.push('first begins');
        await new Promise<void>((resolve) => void clock.setTimeout(resolve, 100));
        order.push('first ends');
      },
      { name: 'first' },
    );
    bus.subscribeShutdown(() => void order.push('second begins'), { name: 'second' });
    const report = bus.requestShutdown();
    await settle();
    await clock.advance(100);
    await report;
    expect(order).toEqual(['first begins', 'second begins', 'first ends']);
  });

  it('A05: a handler that never settles is aborted at its share, not 1 ms before, at two budgets', async () => {
    for (const budgetMs of [1000, 9000]) {
      const { bus, clock } = createTestBus({ budgetMs });
      let aborted = false;
      bus.subscribeShutdown(
        ({ signal }) => {
          signal.addEventListener('abort', () => {
            aborted = true;
          });
          return never();
        },
        { name: 'hung', phase: 'drain' },
      );
      const report = bus.requestShutdown();
      await settle();
      const share = budgetMs - budgetMs * 0.3 - budgetMs * 0.1 - budgetMs * 0.1;
      await clock.advance(share - 1);
      expect(aborted).toBe(false);
      await clock.advance(1);
      expect(aborted).toBe(true);
      await settle();
      const hung = (await report).handlers.find(({ name }) => name === 'hung');
      expect(hung).toMatchObject({ outcome: 'timed-out', phase: 'drain', durationMs: share });
    }
  });

  it('a handler that never settles costs the others nothing, and the exit code and the log name it', async () => {
    const { bus, clock, notifier, lines } = createTestBus();
    bus.jobs.begin({ type: 'render', id: 'r1' });
    bus.subscribeShutdown(never, { name: 'kafka consumer', phase: 'intake' });
    let released = false;
    bus.subscribeShutdown(
      () => {
        released = true;
      },
      { name: 'pool' },
    );
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 500);
    const report = await running;
    expect(notifier.received.map(({ subject }) => subject)).toEqual(['r1']);
    expect(released).toBe(true);
    expect(report.exitCode).toBe(1);
    expect(lines.join('\n')).toMatch(/exit code 1 because of handler "kafka consumer" timed-out/);
    expect(report.handlers.find(({ name }) => name === 'kafka consumer')?.error?.message).toMatch(
      /"kafka consumer" \(subscribed at .*shutdown\.test\.ts:\d+:\d+\) did not settle in \d+ ms/,
    );
  });

  it('D27: a handler that throws is a line of the report and stops nobody', async () => {
    const { bus } = createTestBus();
    let released = false;
    bus.subscribeShutdown(
      () => {
        throw new Error('no such table');
      },
      { name: 'thrower', phase: 'intake' },
    );
    bus.subscribeShutdown(() => Promise.reject('a text'), { name: 'rejecter', phase: 'intake' });
    bus.subscribeShutdown(() => void (released = true), { name: 'pool' });
    const report = await bus.requestShutdown();
    const errors = report.handlers
      .filter(({ outcome }) => outcome === 'failed')
      .map(({ error }) => error?.message);
    expect(errors).toEqual(['no such table', 'a text']);
    expect(released).toBe(true);
    expect(report.exitCode).toBe(1);
  });

  it("timeoutMs caps one handler without touching its neighbours' time", async () => {
    const { bus, clock } = createTestBus();
    const remaining: number[] = [];
    bus.subscribeShutdown(never, { name: 'short', timeoutMs: 50 });
    bus.subscribeShutdown(({ remainingMs }) => void remaining.push(remainingMs()), { name: 'neighbour' });
    const running = bus.requestShutdown();
    await settle();
    await clock.advance(49);
    await settle();
    expect(bus.state).toBe('stopping');
    await clock.advance(1);
    const report = await running;
    expect(report.handlers.find(({ name }) => name === 'short')).toMatchObject({
      outcome: 'timed-out',
      durationMs: 50,
    });
    expect(remaining[0]).toBe(10_000);
  });

  it('reserveMs keeps time for a handler whatever those before it do; without it nothing is left', async () => {
    for (const [reserveMs, expected] of [
      [3000, 3000],
      [0, 0],
    ] as const) {
      const { bus, clock } = createTestBus({ releaseReserveMs: 0, reserveMs: 0, interruptGraceMs: 0 });
      let left = -1;
      bus.subscribeShutdown(never, { name: 'greedy', phase: 'drain' });
      bus.subscribeShutdown(({ remainingMs }) => void (left = remainingMs()), { name: 'modest', reserveMs });
      const running = bus.requestShutdown();
      await pass(clock, 10_000, 500);
      await running;
      expect(left).toBe(expected);
    }
  });

  it('whatever is reserved for what follows delivery, jobs are delivered', async () => {
    const { bus, clock, notifier } = createTestBus({ budgetMs: 400 });
    bus.jobs.begin({ type: 'render' });
    bus.subscribeShutdown(() => {}, { name: 'greedy', priority: 50, reserveMs: 1000 });
    const stopped = bus.requestShutdown();
    await pass(clock, 400, 10);
    expect((await stopped).jobs).toMatchObject({ delivered: 1, expired: 0 });
    expect(notifier.received).toHaveLength(1);
  });

  it('SIGQUIT ends also the wait for a job that was begun when the drain was over', async () => {
    const { bus, clock, host, notifier } = createTestBus({ interruptGraceMs: 0 });
    bus.subscribeShutdown(() => void bus.jobs.begin({ type: 'late' }), { name: 'begins', phase: 'drain' });
    host.kill('SIGTERM');
    await pass(clock, 100);
    expect(notifier.received).toEqual([]);
    host.kill('SIGQUIT');
    await pass(clock, 50);
    expect(notifier.received).toHaveLength(1);
  });

  it('handlers that follow delivery in its phase share its reserve, and leave it at least half', async () => {
    for (const [reserveMs, interruptedAt] of [
      [300, 5000],
      [2000, 4500],
    ] as const) {
      const { bus, clock } = createTestBus();
      const job = bus.jobs.begin({ type: 'render' });
      const { signal } = job;
      bus.subscribeShutdown(() => {}, { name: 'answer', priority: 90, reserveMs });
      const running = bus.requestShutdown();
      await pass(clock, interruptedAt - 1, 500);
      expect(signal.aborted).toBe(false);
      await pass(clock, 1);
      expect(signal.aborted).toBe(true);
      await pass(clock, 10_000, 500);
      await running;
    }
  });

  it('with no time left a handler is still called, with a signal that has aborted', async () => {
    const { bus, clock } = createTestBus({ releaseReserveMs: 0 });
    bus.subscribeShutdown(never, { name: 'greedy', priority: 10 });
    let aborted: boolean | undefined;
    bus.subscribeShutdown(({ signal }) => void (aborted = signal.aborted), { name: 'clean-up' });
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 500);
    const report = await running;
    expect(aborted).toBe(true);
    expect(report.handlers.find(({ name }) => name === 'clean-up')?.outcome).toBe('done');
  });

  it('nothing is waited for when there is nothing to wait for', async () => {
    const { bus, clock } = createTestBus();
    const report = await bus.requestShutdown();
    expect(report).toMatchObject({ durationMs: 0, exitCode: 0 });
    expect(clock.now()).toBe(0);
  });

  it('D27: the first trigger wins and everybody gets the same report', async () => {
    const { bus, host } = createTestBus();
    const first = bus.requestShutdown('first');
    host.kill('SIGTERM');
    const [one, two] = await Promise.all([first, bus.requestShutdown('second')]);
    expect(one).toBe(two);
    expect(one.reason).toEqual({ kind: 'request', message: 'first' });
    expect(await bus.requestShutdown('third')).toBe(one);
  });

  it('a handler subscribed during the run still runs when its phase is ahead, otherwise PHASE_PAST', async () => {
    const { bus } = createTestBus();
    const order: string[] = [];
    let late: unknown;
    bus.subscribeShutdown(
      () => {
        bus.subscribeShutdown(() => void order.push('added'), { name: 'added' });
        try {
          bus.subscribeShutdown(() => void order.push('too late'), { name: 'too late', phase: 'intake' });
        } catch (error) {
          late = error;
        }
      },
      { name: 'adder', phase: 'drain' },
    );
    await bus.requestShutdown();
    expect(order).toEqual(['added']);
    expect(isShutdownError(late, 'PHASE_PAST')).toBe(true);
    expect(() => bus.subscribeShutdown(() => {}, { name: 'after' })).toThrow(/past that phase/);
  });

  it('D27: an unsubscribed handler does not run; undoing twice is safe, and so is `using`', async () => {
    const { bus } = createTestBus();
    let calls = 0;
    const undo = bus.subscribeShutdown(() => void (calls += 1), { name: 'undone' });
    undo();
    undo();
    bus.subscribeShutdown(() => void (calls += 1), { name: 'disposed' })[Symbol.dispose]();
    await bus.requestShutdown();
    expect(calls).toBe(0);
  });

  it('zero handlers, zero jobs: the built-in steps alone are in the report', async () => {
    const { bus } = createTestBus();
    const { handlers, phases, jobs } = await bus.requestShutdown();
    expect(handlers.map(({ name }) => name)).toEqual([
      'finish open jobs',
      'interrupt open jobs',
      'report open jobs',
    ]);
    expect(phases.map(({ phase }) => phase)).toEqual(['intake', 'drain', 'deliver', 'release']);
    expect(jobs).toEqual({
      open: 0,
      begun: 0,
      finished: 0,
      incomplete: 0,
      delivered: 0,
      rejected: 0,
      expired: 0,
    });
  });

  it('SIGQUIT skips the drain and still delivers', async () => {
    const { bus, host, notifier, clock } = createTestBus();
    let drained = false;
    bus.subscribeShutdown(() => void (drained = true), { name: 'drain', phase: 'drain' });
    bus.jobs.begin({ type: 'render', id: 'r1' });
    host.kill('SIGQUIT');
    const running = bus.requestShutdown();
    await settle();
    await clock.advance(1000);
    const report = await running;
    expect(drained).toBe(false);
    expect(report.handlers.find(({ name }) => name === 'drain')?.outcome).toBe('skipped');
    expect(notifier.received).toHaveLength(1);
    expect(report.exitCode).toBe(0);
  });

  it('SIGQUIT during a drain cuts it short; without it the drain would go on', async () => {
    const { bus, host, clock } = createTestBus();
    bus.subscribeShutdown(never, { name: 'drain', phase: 'drain' });
    const running = bus.requestShutdown();
    await settle();
    await clock.advance(100);
    expect(bus.state).toBe('stopping');
    host.kill('SIGQUIT');
    const report = await running;
    expect(report.handlers.find(({ name }) => name === 'drain')).toMatchObject({
      outcome: 'skipped',
      durationMs: 100,
    });
    expect(report.durationMs).toBe(100);
  });
});
