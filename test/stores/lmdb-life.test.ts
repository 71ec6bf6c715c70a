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
