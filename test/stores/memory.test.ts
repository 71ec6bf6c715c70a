import { describe, expect, it } from 'vitest';
import type { JobStore } from '../../src/index.js';
import { memoryStore } from '../../stores/memory.js';
import { createTestBus, pass } from '../test-bus.js';

describe('the memory store', () => {
  it('holds what is open, with its last checkpoint, and forgets what is completed', () => {
    const store = memoryStore();
    const { bus } = createTestBus({ store });
    const first = bus.jobs.begin({ type: 'render', id: 'a', payload: { page: 1 } });
    bus.jobs.begin({ type: 'render', id: 'b' }).checkpoint({ rows: 5 });
    expect(store.records.map(({ key }) => key)).toEqual(['a', 'b']);
    expect(store.records.map(({ record }) => JSON.parse(record))).toMatchObject([
      { id: 'a', type: 'render', value: { page: 1 }, startedAt: '2030-01-01T00:00:00.000Z' },
      { id: 'b' },
    ]);
    expect(store.records.map(({ progress = 'null' }) => JSON.parse(progress))).toEqual([
      null,
      { value: { rows: 5 } },
    ]);
    first.complete();
    expect(store.records.map(({ key }) => key)).toEqual(['b']);
  });

  it('a job leaves it only when its report was accepted', async () => {
    for (const [status, left] of [
      ['delivered', 0],
      ['rejected', 1],
    ] as const) {
      const store = memoryStore();
      const notifier = {
        name: 'C',
        deliver: async (batch: readonly { id: string }[]) =>
          batch.map(({ id }) =>
            status === 'delivered' ? { id, status } : { id, status, error: new Error('no') },
          ),
      };
      const { bus, clock } = createTestBus({ store, notifiers: [notifier], interruptGraceMs: 0 });
      bus.jobs.begin({ type: 'render', id: 'a' });
      const running = bus.requestShutdown();
      await pass(clock, 10_000, 500);
      await running;
      expect(store.records).toHaveLength(left);
    }
  });

  it('has no orphans, ignores unknown ids, and closes twice', async () => {
    const store = memoryStore();
    store.delete('unknown');
    store.checkpoint('unknown', '1');
    await store.markDelivered(['0123456789ab/unknown']);
    expect(await store.claimOrphans()).toEqual([]);
    await store.close();
    await store.close();
    expect(store.records).toEqual([]);
  });
});

describe('a store that fails', () => {
  it('costs no job its report: memory still holds it, and the failure is said', async () => {
    const broken: JobStore = {
      ...memoryStore(),
      put: () => {
        throw new Error('disk full');
      },
      close: () => Promise.reject(new Error('disk gone')),
    };
    const { bus, clock, notifier, lines } = createTestBus({ store: broken, interruptGraceMs: 0 });
    bus.jobs.begin({ type: 'render' });
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 500);
    const report = await running;
    expect(notifier.received).toHaveLength(1);
    expect(report.exitCode).toBe(0);
    expect(lines.join('\n')).toMatch(/the job store memory failed: disk full/);
    expect(report.errors.map(({ message }) => message).join()).toMatch(/disk gone/);
  });
});
