import type { Database } from './data-file.js';

/**
 * Lets one process at a time through: to open the data file, or to write to it. LMDB sets the number of the last transaction anew
 * in every process that opens a file, and what another process commits in that moment would be taken back.
 *
 * The gate is the write lock of an LMDB file that nothing is ever written to, so that opening it takes nothing back: a process that
 * dies in it holds nobody up.
 */
export class Gate {
  readonly #database: Database;
  #inside = false;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Waits until nobody else is inside, and does it. */
  pass<T>(work: () => T): T {
    if (this.#inside) return work();
    this.#inside = true;
    try {
      return this.#database.transactionSync(work);
    } finally {
      this.#inside = false;
    }
  }

  close(): Promise<void> {
    return this.#database.close();
  }
}
