import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { isShutdownError } from '../../src/errors.js';
import { Tenant } from '../../src/testing/store-tenant.js';
import { ownLife } from '../../stores/lmdb/life.js';
import { Names } from '../../stores/lmdb/names.js';
import { lmdbStore } from '../../stores/lmdb.js';
import { rowsIn, withDatabase } from './lmdb-rows.js';

const [FIRST, SECOND] = ['aaaaaaaaaaaa', 'bbbbbbbbbbbb'];
const NAME = 'scheduler';

let path: string;
const tenants: Tenant[] = [];

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
});
afterEach(async () => {
  vi.useRealTimers();
  for (const tenant of tenants.splice(0)) await tenant.close();
  rmSync(path, { recursive: true });
});

const stopTheClock = () => void vi.useFakeTimers({ toFake: ['Date'] });

function living(instanceId: string): Tenant {
  const tenant = new Tenant(lmdbStore({ path }), instanceId, 'a living process');
  tenants.push(tenant);
  tenant.open();
  return tenant;
}

/** As if it lived in another container, and had last been heard of so long ago. */
function moveAway(instanceId: string, silentMs: number): void {
  const life = { ...ownLife(), namespace: 'pid:[5]' };
  const record = { life: { ...life, beatMs: life.beatMs - silentMs }, about: '' };
  withDatabase(path, (database) => database.putSync(`owner/${instanceId}`, JSON.stringify(record)));
}

describe('an owner in another container, of which only the heartbeat is known', () => {
  it('D25: keeps its name while it was heard of lately, and is told when another one got it', async () => {
    const [first, second] = [living(FIRST), living(SECOND)];
    const ownership = await first.store.own?.(NAME);
    moveAway(FIRST, 9000);
    expect(await second.store.own?.(NAME)).toBeUndefined();
    moveAway(FIRST, 10_000);
    const next = await second.store.own?.(NAME);
    expect(next?.signal.aborted).toBe(false);
    await first.store.heartbeat?.();
    expect(isShutdownError(ownership?.signal.reason, 'OWNERSHIP_LOST')).toBe(true);
    // What it has no more it cannot give up.
    await ownership?.release();
    expect(rowsIn(path)[`name/${NAME}`]).toMatch(SECOND);
    expect(next?.signal.aborted).toBe(false);
  });
});

describe('a name whose owner died', () => {
  it.each(['given up', 'left behind by a closed store'])(
    'D25: is still a dead one’s for whoever is next when the heir has it no more: %s',
    async (how) => {
      stopTheClock();
      const [first, second, third] = [living(FIRST), living(SECOND), living('cccccccccccc')];
      await first.store.own?.(NAME);
      moveAway(FIRST, 10_000);
      const heir = await second.store.own?.(NAME);
      expect(heir?.deadMs).toBe(0);
      vi.setSystemTime(Date.now() + 1500);
      if (how === 'given up') await heir?.release();
      else await second.close();
      const next = await third.store.own?.(NAME);
      expect(next?.deadMs).toBe(1500);
    },
  );

  it('D25: negative twin: one that lived and gave it up leaves nothing to wait for, nor does a death of long ago', async () => {
    stopTheClock();
    const [first, second] = [living(FIRST), living(SECOND)];
    await (await first.store.own?.(NAME))?.release();
    const next = await second.store.own?.(NAME);
    expect(next?.deadMs).toBeUndefined();
    moveAway(SECOND, 10_000);
    const heir = await first.store.own?.(NAME);
    expect(heir?.deadMs).toBe(0);
    vi.setSystemTime(Date.now() + 25 * 3_600_000);
    await heir?.release();
    expect(rowsIn(path)[`name/${NAME}`]).toBeUndefined();
  });
});

describe('a name of any kind', () => {
  it.each([
    ['empty', ''],
    ['with a slash', 'a/b'],
    ['like a hash', '~'],
    ['not ASCII', 'ü'],
    ['half a character', '\ud800'],
    ['a long one', 'x'.repeat(5000)],
  ])('D25: %s: has one owner', async (_what, name) => {
    const [first, second] = [living(FIRST), living(SECOND)];
    const ownership = await first.store.own?.(name);
    expect(await second.store.own?.(name)).toBeUndefined();
    await ownership?.release();
    expect(await second.store.own?.(name)).toBeDefined();
  });
});

describe('data that is lost while processes run', () => {
  it('D25: an owner stays the owner, whoever notices first', async () => {
    const [first, second] = [living(FIRST), living(SECOND)];
    const ownership = await first.store.own?.(NAME);
    for (const file of readdirSync(path)) rmSync(join(path, file));
    const startedMs = performance.now();
    while (performance.now() - startedMs < 5000) {
      expect(await second.store.own?.(NAME)).toBeUndefined();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(ownership?.signal.aborted).toBe(false);
    // Negative twin: what nobody owns is free again by now.
    expect(await second.store.own?.('nobody’s')).toBeDefined();
  }, 20_000);
});

describe('a process that cannot write its heartbeat', () => {
  /** Somebody who owns the name, with a heart that does what `beat` does. */
  async function ownWith(beat: (names: Names) => void) {
    const { store } = living(FIRST);
    await store.close();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const release = vi.fn();
    const names = new Names({ instanceId: SECOND, beat: () => beat(names), release });
    const ownership = withDatabase(path, (database) => names.take(database, NAME, () => {}));
    const takeAgain = () => withDatabase(path, (database) => names.take(database, NAME, () => {}));
    return { ownership, release, takeAgain };
  }

  it('D25: is told after 5 s, and the name stays taken until what it stood for has ended', async () => {
    const { ownership, release, takeAgain } = await ownWith(() => {
      throw new Error('no space left on device');
    });
    vi.advanceTimersByTime(4999);
    expect(ownership?.signal.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(ownership?.signal.reason).toMatchObject({
      code: 'OWNERSHIP_LOST',
      message: 'this process is no longer sure to be the owner of "scheduler": no space left on device',
    });
    expect(takeAgain()).toBeUndefined();
    await ownership?.release();
    expect(release).toHaveBeenCalledOnce();
    expect(takeAgain()).toBeDefined();
  });

  it('D25: whose event loop was only blocked stays the owner', async () => {
    const { ownership } = await ownWith((names) =>
      withDatabase(path, (database) => names.beat(database, () => {})),
    );
    for (let doubt = 0; doubt < 3; doubt += 1) vi.advanceTimersByTime(5000);
    expect(ownership?.signal.aborted).toBe(false);
  });
});
