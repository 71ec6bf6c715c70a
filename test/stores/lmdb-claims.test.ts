import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Claims } from '../../stores/lmdb/claims.js';
import type { Database } from '../../stores/lmdb/data-file.js';
import { lmdbStore } from '../../stores/lmdb.js';
import { ownerNamed, rowsIn, withDatabase } from './lmdb-rows.js';

const DEAD = 'dddddddddddd';
let path: string;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'shutdown-bus-claims-'));
});

afterEach(() => rmSync(path, { recursive: true, force: true }));

/** What a dead instance has left, by key. */
function leave(records: Record<string, string>): void {
  withDatabase(path, (database) => {
    for (const [key, record] of Object.entries(records)) database.putSync(`job/${DEAD}/${key}`, record);
  });
}

/** A store of a living bus. */
function living(instanceId: string) {
  const store = lmdbStore({ path });
  store.open?.(ownerNamed(instanceId));
  return store;
}

describe('a job that its owner put again after it was claimed', () => {
  // The owner was silent for too long, in another container say; then it completed the job, and began it anew.
  it.each(['markDelivered', 'setAside'] as const)('%s leaves the later one alone', async (what) => {
    leave({ order: 'first', other: 'theirs' });
    const survivor = living('aaaaaaaaaaaa');
    expect(await survivor.claimOrphans()).toHaveLength(2);
    withDatabase(path, (database) => {
      database.putSync(`job/${DEAD}/order`, 'second');
      database.putSync(`progress/${DEAD}/order`, 'half of the second');
    });
    await survivor[what]?.([`${DEAD}/order`, `${DEAD}/other`]);
    const rows = rowsIn(path);
    expect(rows).toMatchObject({
      [`job/${DEAD}/order`]: 'second',
      [`progress/${DEAD}/order`]: 'half of the second',
    });
    // Negative twin: what is still the same goes.
    expect(rows).not.toHaveProperty(`job/${DEAD}/other`);
    expect(rows).not.toHaveProperty(`aside/${DEAD}/order`);
    const [again] = await survivor.claimOrphans();
    expect(again).toMatchObject({ key: 'order', record: 'second', progress: 'half of the second', tries: 1 });
    await survivor.close();
  });
});

describe('a claim that could not be committed', () => {
  it('is none: the same jobs are claimed the next time', () => {
    leave({ a: 'record', b: 'record' });
    withDatabase(path, (database) => {
      const claims = new Claims('aaaaaaaaaaaa', () => {});
      const full = Object.assign(new Error('no space left on device'), { code: 28 });
      const failing: Database = Object.create(database, {
        transactionSync: {
          value: (work: () => unknown) =>
            database.transactionSync(() => {
              work();
              throw full;
            }),
        },
      });
      expect(() => claims.claim(failing, [DEAD])).toThrow(full);
      const claimed = claims.claim(database, [DEAD]);
      expect(claimed.map(({ key, tries }) => [key, tries])).toEqual([
        ['a', 1],
        ['b', 1],
      ]);
      // Negative twin: what was committed is in hand.
      expect(claims.claim(database, [DEAD])).toEqual([]);
    });
  });
});

describe('jobs that the far end refused', () => {
  const refused = [`${DEAD}/a`];

  it('kept: are given to nobody while their claimer lives, and to the next one as if never tried', async () => {
    leave({ a: 'record', b: 'record' });
    const [first, second] = [living('aaaaaaaaaaaa'), living('bbbbbbbbbbbb')];
    await first.claimOrphans();
    await first.markDelivered([`${DEAD}/b`]);
    await first.giveBack?.(refused, { tried: false, keep: true } as { tried: boolean });
    expect([await first.claimOrphans(), await second.claimOrphans()]).toEqual([[], []]);
    await first.close();
    // LMDB shows the same state for some turns of the event loop.
    await expect.poll(() => second.claimOrphans()).toMatchObject([{ key: 'a', tries: 1 }]);
    await second.close();
  });

  it('kept: one try is taken back, not two', async () => {
    leave({ a: 'record' });
    withDatabase(path, (database) => database.putSync(`tries/${DEAD}/a`, '1'));
    const first = living('aaaaaaaaaaaa');
    expect(await first.claimOrphans()).toMatchObject([{ tries: 2 }]);
    await first.giveBack?.(refused, { tried: false, keep: true } as { tried: boolean });
    await first.close();
    expect(rowsIn(path)).toMatchObject({ [`tries/${DEAD}/a`]: '1' });
  });

  it('negative twin: not kept they are given to the next who asks', async () => {
    leave({ a: 'record' });
    const [first, second] = [living('aaaaaaaaaaaa'), living('bbbbbbbbbbbb')];
    await first.claimOrphans();
    await first.giveBack?.(refused, { tried: false });
    expect(await second.claimOrphans()).toMatchObject([{ key: 'a', tries: 1 }]);
    await first.close();
    await second.close();
  });
});
