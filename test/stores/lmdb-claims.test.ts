import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Claims } from '../../stores/lmdb/claims.js';
import type { Database } from '../../stores/lmdb/data-file.js';
import { withDatabase } from './lmdb-rows.js';

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

describe('a claim that could not be committed', () => {
  it('is none: the same jobs are claimed the next time', () => {
    leave({ a: 'record', b: 'record' });
    withDatabase(path, (database) => {
      const claims = new Claims('aaaaaaaaaaaa');
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
