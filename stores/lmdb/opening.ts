import {
  appendFileSync,
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { readHeader } from './header.js';
import { isAlive, type Life, ownLife } from './life.js';

const DATA = 'jobs.mdb';
const GATE = 'gate.mdb';
const READERS = 'readers';
const MOST_DEATHS = 3;

/** The data file in that folder. */
export function dataFile(folder: string): string {
  return join(folder, DATA);
}

/** The file of the gate in that folder. */
export function gateFile(folder: string): string {
  return join(folder, GATE);
}

/** Enough for two empty databases, and for their lock files. */
const FIRST_BYTES = 256 * 1024;
const LOCK_BYTES = 64 * 1024;

/**
 * Makes the folder, and sees to it that there is room for what LMDB makes in it: it maps files before they are on the disk,
 * and a full one would end the process with a signal. @throws `ENOSPC`, `EROFS` and the like.
 */
export function prepareFolder(folder: string): void {
  makeFolder(folder);
  const files = [dataFile(folder), gateFile(folder)];
  const locks = files.map((file) => `${file}-lock`);
  if ([...files, ...locks].every((file) => sizeOf(file) > 0)) return;
  const probe = join(folder, `room-${process.pid}`);
  try {
    writeFileSync(probe, Buffer.alloc(FIRST_BYTES), { mode: 0o600 });
  } finally {
    rmSync(probe, { force: true });
  }
  for (const lock of locks) {
    if (sizeOf(lock) === 0) appendFileSync(lock, Buffer.alloc(LOCK_BYTES), { mode: 0o600 });
  }
}

/** 0 for a file that is missing as well. */
/** Node's own way to make parents as well never returns where the kernel refuses all of them, below /proc say. */
function makeFolder(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
  if (dirname(folder) !== folder) makeFolder(dirname(folder));
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    // Somebody else was faster.
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

export function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
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
    const header = readHeader(file);
    if (header === undefined) return 'it is no LMDB data file, or its first page is damaged';
    const { pageSize, usedBytes } = header;
    if (size < 2 * pageSize || usedBytes - size > MOST_MISSING_BYTES)
      return `it was cut off after ${size} of ${usedBytes} bytes`;
    // It is appended to: another process may be writing to its end at this moment.
    if (size < usedBytes) writeSync(file, Buffer.alloc(usedBytes - size));
    return undefined;
  } finally {
    closeSync(file);
  }
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

/**
 * This process is about to read the data; nobody else is. @returns takes the note back: an error has come of it, which is no death.
 */
export function noteReader(folder: string): () => void {
  const path = join(folder, READERS);
  const before = sizeOf(path);
  appendFileSync(path, `${JSON.stringify(ownLife())}\n`, { mode: 0o600 });
  return () => {
    if (sizeOf(path) > before) truncateSync(path, before);
  };
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
