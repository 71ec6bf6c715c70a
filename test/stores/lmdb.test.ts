import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lmdbStore } from '../../stores/lmdb.js';
import { createTestBus } from '../test-bus.js';
import { ownerNamed, rowsIn } from './lmdb-rows.js';

let path: string;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'shutdown-bus-lmdb-'));
});

afterEach(() => rmSync(path, { recursive: true, force: true }));

describe('one store object', () => {
  it('belongs to one bus: another one works in memory, is told why, and overwrites nothing', async () => {
    const store = lmdbStore({ path });
    const [first, second] = [createTestBus({ store }), createTestBus({ store })];
    first.bus.jobs.begin({ type: 'first' });
    second.bus.jobs.begin({ type: 'second' });
    expect([first.bus.degraded, second.bus.degraded]).toEqual([false, true]);
    expect(second.lines.join('\n')).toMatch(
      new RegExp(
        `one store object belongs to one bus: it belongs to the bus ${first.bus.instanceId}.*make another`,
      ),
    );
    await store.close();
    const jobs = Object.entries(rowsIn(path)).filter(([place]) => place.startsWith('job/'));
    expect(jobs).toEqual([[`job/${first.bus.instanceId}/1`, expect.stringContaining('"first"')]]);
  });

  it('negative twin: two objects on one folder keep the jobs of both', async () => {
    const [one, other] = [lmdbStore({ path }), lmdbStore({ path })];
    const [first, second] = [createTestBus({ store: one }), createTestBus({ store: other })];
    first.bus.jobs.begin({ type: 'first' });
    second.bus.jobs.begin({ type: 'second' });
    expect([first.bus.degraded, second.bus.degraded]).toEqual([false, false]);
    await one.close();
    await other.close();
    expect(Object.keys(rowsIn(path)).filter((place) => place.startsWith('job/'))).toHaveLength(2);
  });

  it('may be opened again by its own bus', () => {
    const store = lmdbStore({ path });
    store.open?.(ownerNamed('aaaaaaaaaaaa'));
    expect(() => store.open?.(ownerNamed('aaaaaaaaaaaa'))).not.toThrow();
    expect(() => store.open?.(ownerNamed('bbbbbbbbbbbb'))).toThrow(/one bus/);
  });
});

describe('a put after close', () => {
  it('never says that the job is kept', async () => {
    const store = lmdbStore({ path });
    store.open?.(ownerNamed('aaaaaaaaaaaa'));
    expect(store.put({ key: 'early', record: 'x' })).toBeUndefined();
    await store.close();
    const put = Promise.resolve(store.put({ key: 'late', record: 'x' })).then(() => 'kept');
    const turn = new Promise((resolve) => setImmediate(resolve, 'still open'));
    expect(await Promise.race([put, turn])).toBe('still open');
    expect(Object.keys(rowsIn(path))).toContain('job/aaaaaaaaaaaa/early');
    expect(Object.keys(rowsIn(path))).not.toContain('job/aaaaaaaaaaaa/late');
  });
});
