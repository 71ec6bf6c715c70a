import { describe, expect, it } from 'vitest';
import { memoryNotifier } from '../../src/testing/memory-notifier.js';
import { scriptedStore } from '../stores/scripted-store.js';
import { createTestBus, pass, settle } from '../test-bus.js';

const FULL = new Error('no space left on device');

describe('a job in a store', () => {
  it('is put when it begins, kept up to date, and taken out when it is completed', () => {
    const store = scriptedStore();
    const { bus } = createTestBus({ store });
    const job = bus.jobs.begin({ type: 'render', id: 'a', payload: { page: 7 } });
    job.checkpoint({ rows: 5 });
    const { record = '', progress = '' } = store.held.get('a') ?? {};
    expect(JSON.parse(record)).toEqual({
      v: 1,
      id: 'a',
      type: 'render',
      startedAt: '2030-01-01T00:00:00.000Z',
      value: { page: 7 },
    });
    expect(JSON.parse(progress)).toEqual({ value: { rows: 5 } });
    job.complete();
    expect(store.held.size).toBe(0);
    expect(store.calls).toEqual(['open', 'put a', 'checkpoint a', 'delete a']);
  });

  it('is redacted before it is written, the first one too', () => {
    const store = scriptedStore();
    const { bus } = createTestBus({ store, redact: ['card.number'] });
    const job = bus.jobs.begin({ type: 'pay', id: 'a', payload: { card: { number: '4111', name: 'Ada' } } });
    job.checkpoint({ card: { number: '4111' } });
    expect(JSON.stringify(store.held.get('a'))).not.toContain('4111');
    expect(JSON.stringify(store.held.get('a'))).toContain('Ada');
  });

  it('with a payload that JSON cannot hold is kept all the same', () => {
    const store = scriptedStore();
    const { bus } = createTestBus({ store });
    const circular: Record<string, unknown> = { n: 1n };
    circular.self = circular;
    bus.jobs.begin({ type: 'render', id: 'a', payload: circular });
    expect(JSON.parse(store.held.get('a')?.record ?? '').value).toEqual({ n: '1', self: '[Circular]' });
  });

  it('stored resolves when the store has it, waits while it has not, and needs no store at all', async () => {
    const without = createTestBus().bus.jobs.begin({ type: 'render' });
    await without.stored;
    const store = scriptedStore();
    let acknowledge = () => {};
    store.put = () => new Promise((resolve) => (acknowledge = resolve));
    const { bus } = createTestBus({ store });
    const job = bus.jobs.begin({ type: 'render' });
    const seen: string[] = [];
    void job.stored.then(() => seen.push('stored'));
    await settle();
    expect(seen).toEqual([]);
    acknowledge();
    await settle();
    expect(seen).toEqual(['stored']);
    await job.stored;
    const completed = bus.jobs.begin({ type: 'render' });
    const { stored } = completed;
    completed.complete();
    await stored;
  });
});

describe('a store that fails', () => {
  it('costs no begin: the bus is degraded, says so once, and puts everything when the store works again', async () => {
    const store = scriptedStore();
    const { bus, clock, lines } = createTestBus({ store });
    const events: string[] = [];
    bus.on('store-failed', ({ error }) => void events.push(error.message));
    bus.on('store-restored', () => void events.push('restored'));
    const kept = bus.jobs.begin({ type: 'render', id: 'kept' });
    const ended = bus.jobs.begin({ type: 'render', id: 'ended' });
    expect(bus.degraded).toBe(false);
    store.failure = FULL;
    bus.jobs.begin({ type: 'render', id: 'b' }).checkpoint({ rows: 1 });
    bus.jobs.begin({ type: 'render', id: 'c' });
    bus.jobs.begin({ type: 'render', id: 'd' }).complete();
    kept.checkpoint({ rows: 9 });
    ended.complete();
    expect(bus.degraded).toBe(true);
    expect(bus.ready).toBe(true);
    await expect.poll(() => clock.pending).toBeGreaterThan(0);
    await pass(clock, 5000, 500);
    expect(lines.filter((line) => line.includes('the job store scripted failed'))).toHaveLength(1);
    store.failure = undefined;
    await pass(clock, 1000, 500);
    expect(bus.degraded).toBe(false);
    expect([...store.held.keys()].sort()).toEqual(['b', 'c', 'kept']);
    expect(store.held.get('b')?.progress).toBe('{"value":{"rows":1}}');
    expect(store.held.get('kept')?.progress).toBe('{"value":{"rows":9}}');
    expect(lines.at(-1)).toMatch(/the job store scripted works again/);
    expect(events).toEqual([FULL.message, 'restored']);
  });

  it('is left alone by begin until the next heartbeat: a full disk costs an error a heartbeat, not one a job', () => {
    const store = scriptedStore();
    const { bus } = createTestBus({ store });
    store.failure = FULL;
    for (let n = 0; n < 100; n += 1) bus.jobs.begin({ type: 'render' });
    expect(store.calls.filter((call) => call.startsWith('put'))).toHaveLength(1);
  });

  it('cannot be opened: the service starts, and opens it later', async () => {
    const store = scriptedStore();
    store.failure = new Error('read-only file system');
    const { bus, clock, lines } = createTestBus({ store });
    bus.jobs.begin({ type: 'render', id: 'a' });
    expect(lines.join('\n')).toMatch(
      /store scripted failed: read-only file system; open jobs are held in memory only/,
    );
    store.failure = undefined;
    await expect.poll(() => clock.pending).toBeGreaterThan(0);
    await pass(clock, 1000, 500);
    expect([...store.held.keys()]).toEqual(['a']);
  });

  it('refused to be opened: it is not closed either, it may be the store of another bus', async () => {
    const store = scriptedStore();
    const first = createTestBus({ store });
    store.open = () => {
      throw new Error('one store object belongs to one bus');
    };
    const second = createTestBus({ store });
    expect([first.bus.degraded, second.bus.degraded]).toEqual([false, true]);
    await second.bus.requestShutdown();
    expect(store.calls).not.toContain('close');
    await first.bus.requestShutdown();
    expect(store.calls).toContain('close');
  });

  it('rejects what it took: the job is not held to be kept', async () => {
    const store = scriptedStore();
    store.put = () => Promise.reject(FULL);
    const { bus, clock, lines } = createTestBus({ store, notifiers: [], interruptGraceMs: 0 });
    bus.jobs.begin({ type: 'render', id: 'a' });
    await settle();
    expect(bus.degraded).toBe(true);
    const report = bus.requestShutdown();
    await pass(clock, 10_000, 500);
    await report;
    expect(lines.filter((line) => line.startsWith('{"specversion"'))).toHaveLength(1);
  });

  it('rejects what it took: it is given it again, and works again when it has it', async () => {
    const store = scriptedStore();
    const { put } = store;
    let isFull = true;
    store.put = async (job) => {
      if (isFull) throw FULL;
      await put(job);
    };
    const { bus, clock, lines } = createTestBus({ store });
    const job = bus.jobs.begin({ type: 'render', id: 'a' });
    await expect.poll(() => clock.pending).toBeGreaterThan(0);
    await pass(clock, 3000, 500);
    expect([bus.degraded, store.held.size]).toEqual([true, 0]);
    expect(lines.filter((line) => line.includes('it holds all open jobs'))).toEqual([]);
    isFull = false;
    await pass(clock, 1000, 500);
    expect([bus.degraded, [...store.held.keys()]]).toEqual([false, ['a']]);
    await job.stored;
  });

  it('refuses one job: all others are kept, and the bus is degraded until that one is done', async () => {
    const store = scriptedStore();
    const { put } = store;
    store.put = (job) => {
      if (job.record.length > 1000) throw FULL;
      return put(job);
    };
    const { bus, clock } = createTestBus({ store });
    const large = bus.jobs.begin({ type: 'render', id: 'large', payload: 'x'.repeat(2000) });
    bus.jobs.begin({ type: 'render', id: 'small' });
    await expect.poll(() => clock.pending).toBeGreaterThan(0);
    await pass(clock, 1000, 500);
    expect([bus.degraded, [...store.held.keys()]]).toEqual([true, ['small']]);
    large.complete();
    await pass(clock, 1000, 500);
    expect(bus.degraded).toBe(false);
  });

  it('did not hear of a report: it does when it works again, so that nobody reports it again', async () => {
    const store = scriptedStore();
    const { bus, clock } = createTestBus({ store });
    store.markDelivered = async () => {
      throw FULL;
    };
    bus.jobs.begin({ type: 'render', id: 'a', timeoutMs: 100, gracefulTimeoutMs: 200 });
    await expect.poll(() => clock.pending).toBeGreaterThan(2);
    await pass(clock, 400, 100);
    expect([bus.degraded, [...store.held.keys()]]).toEqual([true, ['a']]);
    await pass(clock, 2000, 500);
    expect([bus.degraded, [...store.held.keys()]]).toEqual([false, []]);
  });

  it('is not told of checkpoints of a job that was reported already', async () => {
    const store = scriptedStore();
    const { bus, clock, notifier } = createTestBus({ store });
    const job = bus.jobs.begin({ type: 'render', id: 'a', timeoutMs: 100, gracefulTimeoutMs: 200 });
    await expect.poll(() => clock.pending).toBeGreaterThan(2);
    await pass(clock, 400, 100);
    expect(notifier.received).toHaveLength(1);
    job.checkpoint({ rows: 1 });
    expect(store.calls).not.toContain('checkpoint a');
  });

  it('says itself that it is in trouble: degraded, and still given every job', async () => {
    const store = scriptedStore();
    const { bus } = createTestBus({ store });
    store.owner?.trouble(new Error('connection refused'));
    expect(bus.degraded).toBe(true);
    bus.jobs.begin({ type: 'render', id: 'a' });
    expect([...store.held.keys()]).toEqual(['a']);
    store.owner?.trouble(undefined);
    expect(bus.degraded).toBe(false);
  });
});

describe('the end of a service with a store', () => {
  it('what nobody took stays in the store and not on stderr, and the exit code says so', async () => {
    const store = scriptedStore();
    const { bus, clock, lines } = createTestBus({ store, notifiers: [], interruptGraceMs: 0 });
    bus.jobs.begin({ type: 'render', id: 'a' });
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 500);
    expect((await running).exitCode).toBe(1);
    expect([...store.held.keys()]).toEqual(['a']);
    expect(lines.join('\n')).toMatch(/1 open jobs not accepted by every notifier stay in the store scripted/);
    expect(lines.filter((line) => line.startsWith('{'))).toEqual([]);
    expect(store.calls.at(-1)).toBe('close');
  });

  it('negative twin: a store that fails by then leaves them to stderr', async () => {
    const store = scriptedStore();
    const { bus, clock, lines } = createTestBus({ store, notifiers: [], interruptGraceMs: 0 });
    bus.jobs.begin({ type: 'render', id: 'a' });
    store.owner?.trouble(new Error('connection refused'));
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 500);
    await running;
    expect(lines.filter((line) => line.startsWith('{"specversion"'))).toHaveLength(1);
  });

  it('what was delivered is told to the store at once, not at the end of the delivery', async () => {
    const store = scriptedStore();
    let answerSecond = () => {};
    const second = new Promise<void>((resolve) => (answerSecond = resolve));
    const notifier = {
      name: 'C',
      async deliver(batch: readonly { id: string; subject: string }[]) {
        if (batch[0]?.subject === 'b') await second;
        return batch.map(({ id }) => ({ id, status: 'delivered' as const }));
      },
    };
    const { bus, clock } = createTestBus({ store, notifiers: [notifier], interruptGraceMs: 0 });
    bus.jobs.begin({ type: 'render', id: 'a' });
    bus.jobs.begin({ type: 'render', id: 'b' });
    const running = bus.requestShutdown();
    await pass(clock, 7000, 500);
    await settle();
    expect([...store.held.keys()]).toEqual(['b']);
    answerSecond();
    await running;
    expect(store.held.size).toBe(0);
  });

  it('a payload too large for the far end stays in the store, set aside; the job is reported without it', async () => {
    const store = scriptedStore();
    const notifier = { ...memoryNotifier(), maxBatchBytes: 2000 };
    const { bus, clock } = createTestBus({ store, notifiers: [notifier], interruptGraceMs: 0 });
    bus.jobs.begin({ type: 'render', id: 'large', payload: 'x'.repeat(5000) });
    bus.jobs.begin({ type: 'render', id: 'small' });
    const running = bus.requestShutdown();
    await pass(clock, 7000, 500);
    await running;
    expect(store.aside).toEqual([`${bus.instanceId}/large`]);
    expect(store.delivered).toEqual([`${bus.instanceId}/small`]);
    expect(store.held.get('large')?.record).toContain('xxxxx');
  });

  it('survivors hear why it stopped: at the trigger, and when it had said all it could', async () => {
    const store = scriptedStore();
    const { bus, host, clock } = createTestBus({ store });
    const account = () => JSON.parse(store.owner?.describe() ?? '');
    expect(account()).toMatchObject({ service: 'test-service', pid: process.pid });
    expect(account().stopping).toBeUndefined();
    host.kill('SIGTERM');
    await settle();
    expect(account()).toMatchObject({ stopping: 'SIGTERM', stopped: 'SIGTERM' });
    await pass(clock, 100);
    expect(store.calls.slice(-2)).toEqual(['heartbeat', 'close']);
    expect(bus.state).toBe('stopped');
  });
});

describe('a store whose put takes time', () => {
  it('gets also what happens while it is filled again after a failure', async () => {
    const store = scriptedStore();
    const { put } = store;
    const gates: (() => void)[] = [];
    let isSlow = false;
    store.put = (job) => {
      if (!isSlow) return put(job);
      return new Promise<void>((resolve) =>
        gates.push(() => {
          void put(job);
          resolve();
        }),
      );
    };
    const { bus, clock } = createTestBus({ store });
    store.failure = FULL;
    const [a] = ['a', 'c'].map((id) => bus.jobs.begin({ type: 'render', id }));
    expect(bus.degraded).toBe(true);
    store.failure = undefined;
    isSlow = true;
    await pass(clock, 1000);
    expect(gates).toHaveLength(2);
    const b = bus.jobs.begin({ type: 'render', id: 'b' });
    a?.complete();
    for (let open = gates.shift(); open; open = gates.shift()) {
      open();
      await settle();
    }
    expect(bus.degraded).toBe(false);
    expect([...store.held.keys()].sort()).toEqual(['b', 'c']);
    await expect(b.stored).resolves.toBeUndefined();
  });
});

it('a job that a store refuses costs nobody its signs of life', async () => {
  const store = scriptedStore();
  const { put } = store;
  store.put = (job) => {
    if (job.key === 'large') throw FULL;
    return put(job);
  };
  const { bus, clock } = createTestBus({ store });
  const beats = () => store.calls.filter((call) => call === 'heartbeat').length;
  bus.jobs.begin({ type: 'render', id: 'large' });
  expect(bus.degraded).toBe(true);
  const before = beats();
  await pass(clock, 3000, 500);
  expect(beats()).toBe(before + 3);
});
