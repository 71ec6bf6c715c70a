import { rmSync } from 'node:fs';
import { ShutdownError } from '../../src/errors.js';
import type { Database } from './data-file.js';
import { LockWord, type OpenFile } from './lock-word.js';
import { leaveOpen, mendingLocks, openAgain, transact } from './mending-locks.js';
import { findFault, identityOf, sizeOf } from './opening.js';

/** How long one and the same thread is waited for: at first, and as long as it has not let go. */
const PATIENCE_MS = { first: 2000, again: 50 } as const;
/** What a transaction takes as a rule is over after so many looks; then there is a pause between two. */
const QUICK_LOOKS = 20;
const PAUSE_MS = 0.2;
/** A look is worth so much time: in a loop of writes, one of five looks. */
const LOOK_IS_GOOD_MS = 0.05;

const nothing = new Int32Array(new SharedArrayBuffer(4));

/**
 * Lets one process at a time through: to open the data file, or to write to it. LMDB sets the number of the last transaction anew
 * in every process that opens a file, and what another process commits in that moment would be taken back.
 *
 * The gate is the write lock of an LMDB file that nothing is ever written to, so that opening it takes nothing back: a process that
 * dies in it holds nobody up. One that is stopped in it would, for ever: LMDB waits for a lock, whatever becomes of its
 * owner. So everybody looks whether it is free before they ask for it, and leave it when it stays taken.
 */
export class Gate {
  readonly #path: string;
  readonly #openFile: OpenFile;
  #database: Database | undefined;
  #identity: string | undefined;
  #lock: LockWord | undefined;
  #inside = false;
  #patienceMs: number = PATIENCE_MS.first;
  /** It was free then. */
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(path: string, openFile: OpenFile) {
    this.#path = path;
    this.#openFile = openFile;
  }

  /** @throws {ShutdownError} `STORE_FAILED` when somebody else keeps it; what keeps the file from being opened. */
  open(): void {
    if (this.#database !== undefined) return;
    if (findFault(this.#path) !== undefined)
      for (const file of [this.#path, `${this.#path}-lock`]) rmSync(file, { force: true });
    this.#awaitOpening();
    this.#database = openAgain(identityOf(this.#path)) ?? this.#openFile(this.#path);
    this.#identity = identityOf(this.#path);
    this.#lock = LockWord.of(this.#path, this.#openFile);
  }

  /** Waits until nobody else is inside, and does it. @throws {ShutdownError} `STORE_FAILED` when somebody else stays inside. */
  pass<T>(work: () => T): T {
    if (this.#inside) return work();
    return mendingLocks(
      () => {
        this.open();
        if (this.#lock !== undefined) this.#await(this.#lock);
        return this.#database as Database;
      },
      (database) =>
        transact(database, () => {
          this.#inside = true;
          try {
            return work();
          } finally {
            this.#inside = false;
          }
        }),
      () => this.close(true),
    );
  }

  /** @param isBroken its locks are none any more */
  close(isBroken = false): void {
    const database = this.#database;
    this.#database = undefined;
    this.#lock = undefined;
    if (database === undefined) return;
    if (isBroken) void database.close();
    else leaveOpen(database, this.#identity);
  }

  /** LMDB takes the lock when it opens a file, unless it is to be read only. */
  #awaitOpening(): void {
    const lock = LockWord.of(this.#path, this.#openFile);
    if (lock !== undefined) this.#await(lock);
    else if (!this.#isFreeBefore()) this.#awaitFirstOpening();
  }

  #isFreeBefore(): boolean {
    const lock = LockWord.before(this.#path, this.#openFile);
    if (lock === undefined) return true;
    try {
      this.#await(lock);
      return true;
    } catch {
      // Or nobody has it: the machine was switched off, and the word stayed. LMDB takes it out when it opens the file.
      return false;
    } finally {
      lock.close();
    }
  }

  /** Of this process. */
  #awaitFirstOpening(): void {
    if ([this.#path, `${this.#path}-lock`].some((file) => sizeOf(file) === 0)) return;
    const database = this.#openFile(this.#path, { readOnly: true });
    try {
      const opened = LockWord.of(this.#path, this.#openFile);
      if (opened !== undefined) this.#await(opened);
    } finally {
      void database.close();
    }
  }

  /** Somebody who is stopped between this look and our turn is waited for: that is a matter of microseconds. */
  #await(lock: LockWord): void {
    let since = performance.now();
    if (since - this.#lookedAt < LOOK_IS_GOOD_MS) return;
    let holder = lock.holder();
    for (let looks = 1; holder !== 0; looks += 1) {
      if (performance.now() - since > this.#patienceMs) this.#giveUp(holder);
      if (looks > QUICK_LOOKS) Atomics.wait(nothing, 0, 0, PAUSE_MS);
      const next = lock.holder();
      if (next !== holder) [holder, since] = [next, performance.now()];
    }
    this.#lookedAt = since;
    this.#patienceMs = PATIENCE_MS.first;
  }

  #giveUp(holder: number): never {
    this.#patienceMs = PATIENCE_MS.again;
    throw new ShutdownError(
      'STORE_FAILED',
      `process ${holder}, as its container counts, does not let go of ${this.#path}: it may be stopped (SIGSTOP, a debugger, ` +
        '"docker pause"); let it go on, or end it',
    );
  }
}
