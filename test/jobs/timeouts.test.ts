import { describe, expect, it } from 'vitest';
import { GracefulExit, type Job, type JobInterrupted } from '../../src/index.js';
import { memoryNotifier } from '../../src/testing/memory-notifier.js';
import { scriptedStore } from '../stores/scripted-store.js';
import { createTestBus, pass, settle } from '../test-bus.js';

describe('two-stage job timeouts', () => {
  it('C01: the gap between the two stages is 2 s unless told otherwise, and is never shortened', async () => {
    for (const [gracefulTimeoutMs, gap] of [
      [undefined, 2000],
      [9000, 4000],
    ] as const) {
      const { bus, clock } = createTestBus();
      const stages: [string, number][] = [];
      bus.on('job-interrupted', ({ stage }) => void stages.push([stage, clock.now()]));
      bus.jobs.begin({ type: 'render', timeoutMs: 5000, ...(gracefulTimeoutMs && { gracefulTimeoutMs }) });
      await pass(clock, 10_000, 500);
      expect(stages).toEqual([
        ['abort', 5000],
        ['timed-out', 5000 + gap],
      ]);
    }
  });

  it('C03: a job past its timeout is aborted with a GracefulExit that stands for SIGABRT', async () => {
    const { bus, clock } = createTestBus();
    const { signal } = bus.jobs.begin({ type: 'render', timeoutMs: 5000 });
    await pass(clock, 4999, 4999);
    expect(signal.aborted).toBe(false);
    await pass(clock, 1);
    expect(signal.reason).toBeInstanceOf(GracefulExit);
    expect(signal.reason).toMatchObject({ signal: 'SIGABRT', signum: 6 });
  });

  it('C04: the second stage is an event of its own and stands for SIGTERM', async () => {
    const { bus, clock } = createTestBus();
    const events: Omit<JobInterrupted, 'job'>[] = [];
    bus.on('job-interrupted', ({ stage, signal }) => void events.push({ stage, signal }));
    bus.jobs.begin({ type: 'render', timeoutMs: 5000, gracefulTimeoutMs: 7000 });
    await pass(clock, 7000, 500);
    expect(events).toEqual([
      { stage: 'abort', signal: 'SIGABRT' },
      { stage: 'timed-out', signal: 'SIGTERM' },
    ]);
  });

  it('C05: the work has the gap to react: its catch block runs and it may still answer', async () => {
    const { bus, clock, notifier } = createTestBus();
    const answer = bus.jobs.run({ type: 'request', timeoutMs: 5000 }, async (job: Job) => {
      try {
        return await new Promise((_resolve, reject) =>
          job.signal.addEventListener('abort', () => reject(job.signal.reason)),
        );
      } catch (error) {
        if (error instanceof GracefulExit) return 'please try again';
        throw error;
      }
    });
    await pass(clock, 5000, 500);
    await expect(answer).resolves.toBe('please try again');
    await pass(clock, 5000, 500);
    expect(notifier.received).toEqual([]);
  });

  it('C06: both stages count from the start: 5 and 7 are 5 s and 7 s, not 5 s and 12 s; 7 and 5 is refused', async () => {
    const { bus, clock, notifier } = createTestBus();
    bus.jobs.begin({ type: 'render', timeoutMs: 5000, gracefulTimeoutMs: 7000 });
    await pass(clock, 6999, 6999);
    expect(notifier.received).toHaveLength(0);
    await pass(clock, 1);
    expect(notifier.received).toHaveLength(1);
    expect(() => bus.jobs.begin({ type: 'render', timeoutMs: 7000, gracefulTimeoutMs: 5000 })).toThrow(
      /gracefulTimeoutMs is 5000; allowed: .*larger than timeoutMs 7000/,
    );
  });

  it('C07: 5 s alone: aborted at 5 s, declared timed out and reported at 7 s, while the service goes on', async () => {
    const { bus, clock, notifier } = createTestBus();
    const job = bus.jobs.begin({ type: 'render', payload: { page: 1 }, timeoutMs: 5000 });
    await pass(clock, 7000, 500);
    expect(notifier.received[0]).toMatchObject({
      id: `${bus.instanceId}/${job.id}`,
      data: { outcome: 'timed-out', reason: 'timeout', payload: { page: 1 }, elapsedMs: 7000 },
    });
    expect(bus.state).toBe('running');
    expect(bus.jobs.size).toBe(0);
  });

  it('an id that is begun again after its report gets an envelope id of its own: nobody takes it for a repetition', async () => {
    const { bus, clock, notifier } = createTestBus();
    for (let times = 0; times < 2; times += 1) {
      bus.jobs.begin({ type: 'render', id: 'order-7', timeoutMs: 5000 });
      await pass(clock, 7000, 500);
    }
    bus.jobs.begin({ type: 'render', id: 'order-7' }).complete();
    bus.jobs.begin({ type: 'render', id: 'order-8' });
    const stopped = bus.requestShutdown();
    await pass(clock, 30_000, 500);
    await stopped;
    expect(notifier.received.map(({ id, subject }) => [id, subject])).toEqual([
      [`${bus.instanceId}/order-7`, 'order-7'],
      [`${bus.instanceId}/order-7~2`, 'order-7'],
      [`${bus.instanceId}/order-8`, 'order-8'],
    ]);
  });

  it('a job that ends by its timeout is reported at once, not at the second stage', async () => {
    const { bus, clock, notifier } = createTestBus();
    const work = bus.jobs.run({ type: 'render', timeoutMs: 5000 }, (job) => {
      const { signal } = job;
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    });
    const ended = expect(work).rejects.toThrow('SIGABRT received.');
    await pass(clock, 5000, 500);
    await ended;
    expect(notifier.received).toHaveLength(1);
  });

  it('a job that finishes in time leaves no timer behind', async () => {
    const { bus, clock } = createTestBus();
    bus.jobs.begin({ type: 'render', timeoutMs: 5000 }).complete();
    await settle();
    expect(clock.pending).toBe(0);
  });

  it('a timed-out job whose report was not accepted is reported again by the shutdown, under the same id', async () => {
    const { bus, clock, notifier } = createTestBus({
      reserveMs: 100,
      notifiers: [
        {
          name: 'down at first',
          deliver: async (batch) => {
            if (clock.now() < 60_000) throw new Error('connection refused');
            for (const envelope of batch)
              notifier.deliver([envelope], { signal: AbortSignal.timeout(1000), attempt: 1 });
            return batch.map(({ id }) => ({ id, status: 'delivered' }));
          },
        },
      ],
    });
    const job = bus.jobs.begin({ type: 'render', timeoutMs: 5000 });
    await pass(clock, 60_000, 500);
    expect(bus.jobs.size).toBe(1);
    const report = await bus.requestShutdown();
    expect(notifier.received.map(({ id, data }) => [id, data.outcome])).toEqual([
      [`${bus.instanceId}/${job.id}`, 'timed-out'],
    ]);
    expect(report.exitCode).toBe(0);
  });

  it('another job by the same id is not taken for the one whose report is still under way', async () => {
    const store = scriptedStore();
    let accept = () => {};
    const accepted = new Promise<void>((resolve) => (accept = resolve));
    const notifier = memoryNotifier({ answer: () => accepted.then(() => 'delivered' as const) });
    const { bus, clock } = createTestBus({ store, notifiers: [notifier] });
    const first = bus.jobs.begin({ type: 'render', id: 'a', timeoutMs: 1000, gracefulTimeoutMs: 2000 });
    await pass(clock, 2000, 500);
    first.complete();
    bus.jobs.begin({ type: 'render', id: 'a' });
    accept();
    await pass(clock, 1000, 100);
    expect(store.delivered).toEqual([`${bus.instanceId}/a`]);
    // That of the second is still there, and it is reported by a name of its own.
    expect([...store.held.keys()]).toEqual(['a~2']);
  });
});
