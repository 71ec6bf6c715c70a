import {
  appendFileSync,
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { isAlive, type Life, ownLife } from './life.js';

const DATA = 'jobs.mdb';
const READERS = 'readers';
const MOST_DEATHS = 3;

/** The data file in that folder. */
export function dataFile(folder: string): string {
  return join(folder, DATA);
}

/** Makes the folder, and fails where LMDB itself would crash the process: it maps a file it could not make large enough. */
export function prepareFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const probe = join(folder, `room-${process.pid}`);
  try {
    writeFileSync(probe, Buffer.alloc(64 * 1024), { mode: 0o600 });
  } finally {
    rmSync(probe, { force: true });
  }
}

/** What tells one file from another one of the same name; `undefined` when there is none. */
export function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

const MAGIC = 0xbeefc0de;
const VERSIONS = [1, 2];
/** Before the magic number in each of the first two pages: a page's head, 16 bytes at first, 24 today. */
const PAGE_HEADS = [16, 24];
/** From the magic number to the page size, and to the last page's number. */
const PAGE_SIZE_AT = 24;
const LAST_PAGE_AT = 120;
const MOST_MISSING_BYTES = 2 ** 28;

/**
 * Says what is wrong with a data file, `undefined` when it can be opened. LMDB trusts what it maps: a file of somebody else's,
 * or one that was cut off, ends the process with a signal instead of an error. One that is only shorter than it should
 * be is filled up with zeros, so that what is missing becomes an error.
 */
export function findFault(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDWR | constants.O_APPEND);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { size } = fstatSync(file);
    if (size === 0) return undefined;
    const head = readHead(file);
    if (head === undefined) return 'it is no LMDB data file, or its first page is damaged';
    const wanted = (head.lastPage + 1) * head.pageSize;
    if (size < 2 * head.pageSize || wanted - size > MOST_MISSING_BYTES)
      return `it was cut off after ${size} of ${wanted} bytes`;
    // It is appended to: another process may be writing to its end at this moment.
    if (size < wanted) writeSync(file, Buffer.alloc(wanted - size));
    return undefined;
  } finally {
    closeSync(file);
  }
}

function readHead(file: number): { pageSize: number; lastPage: number } | undefined {
  const first = Buffer.alloc(4096);
  if (readSync(file, first, 0, first.length, 0) < 256) return undefined;
  const at = PAGE_HEADS.find((head) => first.readUInt32LE(head) === MAGIC);
  if (at === undefined || !VERSIONS.includes(first.readUInt32LE(at + 4) & 0xffff)) return undefined;
  const pageSize = first.readUInt32LE(at + PAGE_SIZE_AT);
  if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) return undefined;
  const second = Buffer.alloc(256);
  readSync(file, second, 0, second.length, pageSize);
  const pages = [first, second]
    .filter((page) => page.readUInt32LE(at) === MAGIC)
    .map((page) => Number(page.readBigUInt64LE(at + LAST_PAGE_AT)));
  return { pageSize, lastPage: Math.max(...pages) };
}

/** Puts the data out of the way, with a name that says when. @returns where it is now. */
export function putAside(folder: string): string {
  const name = `${DATA}.aside-${new Date().toISOString().replaceAll(':', '')}-${process.pid}`;
  renameSync(join(folder, DATA), join(folder, name));
  // It belongs to that data.
  rmSync(join(folder, `${DATA}-lock`), { force: true });
  return join(folder, name);
}

/** Whether the last readers of the data all died of it: it must not kill every other one. */
export function killsItsReaders(folder: string): boolean {
  return deathsIn(join(folder, READERS)) >= MOST_DEATHS;
}

/** This process is about to read the data. */
export function noteReader(folder: string): void {
  appendFileSync(join(folder, READERS), `${JSON.stringify(ownLife())}\n`, { mode: 0o600 });
}

/** The data could be read: whatever ended earlier readers, it was not the data. */
export function forgetReaders(folder: string): void {
  rmSync(join(folder, READERS), { force: true });
}

function deathsIn(path: string): number {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '' && isDead(line)).length;
  } catch {
    return 0;
  }
}

function isDead(line: string): boolean {
  try {
    return !isAlive(JSON.parse(line) as Life);
  } catch {
    // Cut off in the middle: by its death.
    return true;
  }
}
