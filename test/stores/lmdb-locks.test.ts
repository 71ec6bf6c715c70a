import { fstatSync, mkdtempSync, readdirSync, readSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { afterEach, describe, expect, it } from 'vitest';
import { Tenant } from '../../src/testing/store-tenant.js';
import { transact } from '../../stores/lmdb/mending-locks.js';
import { lmdbStore } from '../../stores/lmdb.js';
import { job } from './redis-place.js';

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
  undo.push(() => rmSync(folder, { recursive: true }));
  return folder;
}

function tenantIn(path: string, instanceId: string): Tenant {
  const tenant = new Tenant(lmdbStore({ path }), instanceId, 'a living process');
  undo.push(() => tenant.close());
  tenant.open();
  return tenant;
}

/** What LMDB's last user leaves of the locks when it closes a file, also when somebody else is just opening it. */
function destroyLocks(path: string): void {
  const wanted = statSync(path);
  // Through LMDB's own descriptor: closing another one would take its locks away.
  const file = readdirSync('/proc/self/fd')
    .map(Number)
    .find((one) => {
      try {
        return fstatSync(one).ino === wanted.ino;
      } catch {
        return false;
      }
    });
  if (file === undefined) throw new Error(`${path} is not open`);
  // glibc marks a mutex that was destroyed by the kind -1; here everything that says the kind of a robust, shared one.
  const words = new Int32Array(128);
  readSync(file, words, 0, words.byteLength, 0);
  let destroyed = 0;
  for (const [index, word] of words.entries()) {
    if (word !== 0x90) continue;
    writeSync(file, new Int32Array([-1]), 0, 4, index * 4);
    destroyed += 1;
  }
  if (destroyed === 0) throw new Error('there is no lock of that kind');
}

describe.runIf(process.platform === 'linux')('locks that the last user of an LMDB file destroyed', () => {
  it.each(['gate.mdb-lock', 'jobs.mdb-lock'])('%s: they are made anew, and no job notices', async (name) => {
    const path = newFolder();
    const tenant = tenantIn(path, 'aaaaaaaaaaaa');
    await tenant.put(job('before'));
    destroyLocks(join(path, name));
    await tenant.put(job('after'));
    tenant.delete('before');
    await tenant.close();
    const survivor = tenantIn(path, 'bbbbbbbbbbbb');
    expect((await survivor.look()).map(({ key }) => key)).toEqual(['after']);
    expect(tenant.troubles).toEqual([]);
  });

  it('a process may open and close it more often than LMDB has places for its readers', async () => {
    const path = newFolder();
    for (let opened = 0; opened < 600; opened += 1) {
      const tenant = new Tenant(lmdbStore({ path }), 'aaaaaaaaaaaa', 'a living process');
      tenant.open();
      await tenant.close();
      expect(tenant.troubles).toEqual([]);
    }
  });

  it('negative twin: LMDB itself fails from then on, and does the work of a transaction without one', () => {
    const path = join(newFolder(), 'plain.mdb');
    const database = open<string, string>({ path, noSubdir: true, encoding: 'string' });
    undo.push(() => database.close());
    database.putSync('a', 'before');
    destroyLocks(`${path}-lock`);
    for (let tries = 0; tries < 2; tries += 1)
      expect(() => database.putSync('a', 'after')).toThrow(expect.objectContaining({ code: 22 }));
    let isDone = false;
    const work = () => {
      isDone = true;
    };
    expect(() => database.transactionSync(work)).toThrow(expect.objectContaining({ code: 22 }));
    expect(isDone).toBe(true);
    isDone = false;
    expect(() => transact(database, work)).toThrow(expect.objectContaining({ code: 22 }));
    expect(isDone).toBe(false);
  });
});
