import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Life } from '../../stores/lmdb/life.js';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const PEER = 4711;

/** What reads of a file give: a text, or an error. */
type Files = Record<string, string | { readonly code: string }>;

/** A Linux machine with this process, and a peer in the same container that runs. */
const LINUX: Files = {
  '/proc/self/ns/pid': 'pid:[4026531836]',
  [BOOT_ID]: 'this-boot\n',
  [`/proc/${process.pid}/stat`]: statOf(process.pid, 'R', '100'),
  [`/proc/${PEER}/stat`]: statOf(PEER, 'S', '200'),
};

const peer: Life = {
  pid: PEER,
  startedAt: '200',
  namespace: 'pid:[4026531836]',
  bootId: 'this-boot',
  beatMs: 0,
};

function statOf(pid: number, state: string, startedAt: string): string {
  return `${pid} (a (strange) name) ${state} ${'0 '.repeat(18)}${startedAt} 0 0`;
}

/** The module, as it is when it is loaded on that machine. */
async function lifeOn(files: Files) {
  const read = (path: string) => {
    const file = files[path] ?? { code: 'ENOENT' };
    if (typeof file === 'string') return file;
    throw Object.assign(new Error(file.code), file);
  };
  vi.resetModules();
  vi.doMock('node:fs', () => ({ readFileSync: read, readlinkSync: read }));
  return import('../../stores/lmdb/life.js');
}

function nowMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

afterEach(() => vi.doUnmock('node:fs'));

describe('a process of the same container', () => {
  it.each([
    ['runs', LINUX, true],
    ['has ended', { ...LINUX, [`/proc/${PEER}/stat`]: { code: 'ENOENT' } }, false],
    ['ends while it is looked at', { ...LINUX, [`/proc/${PEER}/stat`]: { code: 'ESRCH' } }, false],
    [
      'has ended, and its remains are there',
      { ...LINUX, [`/proc/${PEER}/stat`]: statOf(PEER, 'Z', '200') },
      false,
    ],
    [
      'has ended, and another one has its number',
      { ...LINUX, [`/proc/${PEER}/stat`]: statOf(PEER, 'S', '300') },
      false,
    ],
    [
      'cannot be looked at: too many open files here',
      { ...LINUX, [`/proc/${PEER}/stat`]: { code: 'EMFILE' } },
      true,
    ],
    ['cannot be looked at: not allowed', { ...LINUX, [`/proc/${PEER}/stat`]: { code: 'EACCES' } }, true],
  ])('%s', async (_what, files, alive) => {
    expect((await lifeOn(files)).isAlive(peer)).toBe(alive);
  });

  it('that said goodbye is gone', async () => {
    expect((await lifeOn(LINUX)).isAlive({ ...peer, left: true })).toBe(false);
  });

  it('of another boot is gone, whoever has its number', async () => {
    expect((await lifeOn(LINUX)).isAlive({ ...peer, bootId: 'another-boot' })).toBe(false);
  });

  it('recognises itself', async () => {
    const { isAlive, ownLife } = await lifeOn(LINUX);
    expect(ownLife()).toMatchObject({ pid: process.pid, startedAt: '100', bootId: 'this-boot' });
    expect(isAlive(ownLife())).toBe(true);
  });
});

describe('a process of which only the heartbeat is known', () => {
  const macOs: Files = {};
  const elsewhere = { namespace: 'pid:[5]', startedAt: '', bootId: '' };

  it.each([
    ['in another container', LINUX, { namespace: 'pid:[5]' }],
    ['where there is no /proc', macOs, elsewhere],
    [
      'where this one cannot tell the boot',
      { ...LINUX, [BOOT_ID]: { code: 'EACCES' } },
      { namespace: 'pid:[5]' },
    ],
    ['that could not tell the boot itself', LINUX, elsewhere],
  ])('%s: lives until it was silent for 10 s', async (_where, files, differences) => {
    const { isAlive } = await lifeOn(files);
    const of = (silenceMs: number) => isAlive({ ...peer, ...differences, beatMs: nowMs() - silenceMs });
    expect([of(0), of(9000), of(10_000)]).toEqual([true, true, false]);
  });

  it('without a boot to compare, a heartbeat in the future is one of an earlier boot: it is gone', async () => {
    const { isAlive } = await lifeOn(macOs);
    expect(isAlive({ ...peer, ...elsewhere, beatMs: nowMs() + 3_600_000 })).toBe(false);
  });

  it('negative twin: of the same boot it may have another clock, and lives', async () => {
    const { isAlive } = await lifeOn(LINUX);
    expect(isAlive({ ...peer, namespace: 'pid:[5]', beatMs: nowMs() + 3_600_000 })).toBe(true);
  });
});
