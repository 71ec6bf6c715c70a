import {
  appendFileSync,
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Database } from './data-file.js';

/** Opens an LMDB file. */
export type OpenFile = (path: string, options?: { readonly readOnly: boolean }) => Database;

/** Without the two bits that say that somebody waits, and that the last owner died. */
const THREAD_ID = 0x3fff_ffff;
/** The locks are at the beginning of a lock file; a table of its readers follows. */
const WORDS = 128;
/** Enough for an empty database and its lock file. */
const PROBE_BYTES = 64 * 1024;

/**
 * Tells who has the write lock of an LMDB file, for LMDB can wait for it and not try it: on Linux the lock is a word of the lock
 * file with its owner's thread id, which the kernel takes out when the owner dies.
 */
export class LockWord {
  readonly #file: number;
  readonly #place: number;
  readonly #word = new Int32Array(1);

  private constructor(file: number, place: number) {
    this.#file = file;
    this.#place = place;
  }

  /**
   * That of an LMDB file which this process has open; `undefined` where locks are something else. LMDB's own descriptor is used:
   * closing another one of the same file would take LMDB's locks away from the whole process.
   */
  static of(path: string, openFile: OpenFile): LockWord | undefined {
    const place = placeOfWord(dirname(path), openFile);
    const file = place === undefined ? undefined : descriptorOf(`${path}-lock`);
    return place === undefined || file === undefined ? undefined : new LockWord(file, place);
  }

  /**
   * The same of one that this process has not open yet, by a descriptor of its own: `close` it before LMDB opens the file. `undefined`
   * where there is no such file, or locks are something else.
   */
  static before(path: string, openFile: OpenFile): LockWord | undefined {
    const place = placeOfWord(dirname(path), openFile);
    if (place === undefined || !statSync(`${path}-lock`, { throwIfNoEntry: false })?.size) return undefined;
    return new LockWord(openSync(`${path}-lock`, 'r'), place);
  }

  close(): void {
    closeSync(this.#file);
  }

  /** The id of the thread that has the lock, in its own container; 0 when it is free. */
  holder(): number {
    readSync(this.#file, this.#word, 0, 4, this.#place);
    return (this.#word[0] as number) & THREAD_ID;
  }
}

let known: { readonly place: number | undefined } | undefined;

/** Where the word is in a lock file. LMDB itself tells, with a file that nobody else knows. */
function placeOfWord(folder: string, openFile: OpenFile): number | undefined {
  if (known !== undefined) return known.place;
  const threadId = ownThreadId();
  if (threadId === undefined) known = { place: undefined };
  else
    try {
      known = { place: findWord(folder, openFile, threadId) };
    } catch {
      // No room, say. It is looked for again at the next opening.
    }
  return known?.place;
}

function findWord(folder: string, openFile: OpenFile, threadId: number): number | undefined {
  const probe = mkdtempSync(join(folder, 'probe-'));
  const path = join(probe, 'probe.mdb');
  try {
    // Room first: LMDB maps files before they are on the disk, and a full one would end the process with a signal.
    appendFileSync(`${path}-room`, Buffer.alloc(PROBE_BYTES));
    appendFileSync(`${path}-lock`, Buffer.alloc(PROBE_BYTES));
    rmSync(`${path}-room`);
    const database = openFile(path);
    try {
      const before = wordsOf(`${path}-lock`);
      const inside = database.transactionSync(() => wordsOf(`${path}-lock`));
      const index = inside.findIndex((word, at) => word === threadId && before[at] === 0);
      return index < 0 ? undefined : index * 4;
    } finally {
      void database.close();
    }
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}

/** Of a file that is open in this process. */
function wordsOf(path: string): Int32Array {
  const words = new Int32Array(WORDS);
  const file = descriptorOf(path);
  if (file !== undefined) readSync(file, words, 0, words.byteLength, 0);
  return words;
}

/** As Linux counts threads; `undefined` elsewhere. */
function ownThreadId(): number | undefined {
  try {
    return Number(basename(readlinkSync('/proc/thread-self')));
  } catch {
    return undefined;
  }
}

/** The descriptor with which this process has a file open; `undefined` when it has not. */
function descriptorOf(path: string): number | undefined {
  const wanted = statSync(path, { throwIfNoEntry: false });
  if (wanted === undefined) return undefined;
  return readdirSync('/proc/self/fd')
    .map(Number)
    .find((file) => {
      try {
        const { dev, ino } = fstatSync(file);
        return dev === wanted.dev && ino === wanted.ino;
      } catch {
        // Closed since: the one that the folder itself was read with.
        return false;
      }
    });
}
