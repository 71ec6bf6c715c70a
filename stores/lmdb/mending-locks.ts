import { ShutdownError } from '../../src/errors.js';
import type { Database } from './data-file.js';

/** EINVAL, as LMDB gives it: the lock is none any more. */
const NO_LOCK = 22;
const MOST_TRIES = 20;
/** Before the next try, at most: each a little different from that of others in the same trouble. */
const PAUSE_MS = 10;

const nothing = new Int32Array(new SharedArrayBuffer(4));

/**
 * Does something with an LMDB file, and opens it anew when its locks are broken: whoever closes it last destroys them, also when somebody
 * else is just opening it, and LMDB makes new ones only for whoever opens it alone.
 * @param open gives the open file.
 * @param work is not begun when it fails for the locks.
 * @param close closes it.
 */
export function mendingLocks<D, T>(open: () => D, work: (file: D) => T, close: () => void): T {
  for (let tries = 1; ; tries += 1) {
    const file = open();
    try {
      return work(file);
    } catch (error) {
      if ((error as { code?: unknown } | undefined)?.code !== NO_LOCK) throw error;
      if (tries >= MOST_TRIES) throw brokenLocks(error);
      close();
      Atomics.wait(nothing, 0, 0, 1 + Math.random() * PAUSE_MS);
    }
  }
}

/** Files that are left to the end of the process, by what they are. */
const leftOpen = new Map<string, Database[]>();

/**
 * Leaves a file open that others may be opening at this moment: it is the close of its last user that destroys its locks, and
 * the end of a process closes it without that.
 * @param identity of the file that it was opened as; `undefined` when that is lost.
 */
export function leaveOpen(file: Database, identity: string | undefined): void {
  const key = identity ?? '';
  leftOpen.set(key, [...(leftOpen.get(key) ?? []), file]);
}

/** One that was left open, if it is still the file at that place: each opening takes a place among LMDB's readers that only the end gives back. */
export function openAgain(identity: string | undefined): Database | undefined {
  return identity === undefined ? undefined : leftOpen.get(identity)?.pop();
}

/**
 * A transaction, or an error: with broken locks the package does the work all the same, without a transaction, and fails at its end.
 * One that has begun has a number.
 */
export function transact<T>(database: Pick<Database, 'getWriteTxnId' | 'transactionSync'>, work: () => T): T {
  return database.transactionSync(() => {
    if (database.getWriteTxnId() === 0)
      throw Object.assign(new Error('no transaction has begun'), { code: NO_LOCK });
    return work();
  });
}

function brokenLocks(cause: unknown): ShutdownError {
  return new ShutdownError(
    'STORE_FAILED',
    'the locks of the LMDB file are broken, and processes that have it open keep them so; they are made anew when all of them have closed it',
    { cause },
  );
}
