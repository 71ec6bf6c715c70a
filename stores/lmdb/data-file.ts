import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import type { Database as LmdbDatabase } from 'lmdb';
import { messageOf, ShutdownError } from '../../src/errors.js';
import { Gate } from './gate.js';
import type { OpenFile } from './lock-word.js';
import { leaveOpen, mendingLocks, openAgain } from './mending-locks.js';
import {
  dataFile,
  findFault,
  forgetReaders,
  gateFile,
  identityOf,
  killsItsReaders,
  noteReader,
  prepareFolder,
  putAside,
} from './opening.js';
import { Room } from './room.js';

/** The parts of an LMDB database that the store uses; all values are texts. */
export type Database = Pick<
  LmdbDatabase<string, string>,
  'get' | 'putSync' | 'removeSync' | 'getKeys' | 'getRange' | 'transactionSync' | 'getWriteTxnId' | 'close'
>;

type Open = (options: Record<string, unknown>) => Database;

/** What the file's owner is told. */
export interface FileListener {
  /** Something its operator should know. */
  warn(line: string): void;
  /** The data is another one from here on, and empty: what must be in it must be put again. */
  replaced(): void;
}

// MDB_PAGE_NOTFOUND, MDB_CORRUPTED, MDB_PANIC, MDB_VERSION_MISMATCH, MDB_INVALID; MDB_INCOMPATIBLE, MDB_BAD_TXN, MDB_PROBLEM.
const DAMAGE = new Set([-30797, -30796, -30795, -30794, -30793, -30784, -30782, -30779]);

/** One LMDB file in a folder, put aside and made anew when it turns out to be damaged. */
export class DataFile {
  readonly #folder: string;
  readonly #listener: FileListener;
  readonly #openFile: OpenFile;
  readonly #gate: Gate;
  #database: Database | undefined;
  #identity: string | undefined;
  #room: Room | undefined;
  /** The data is another one, and its owner was not told yet. */
  #isAnother = false;
  /** A write of LMDB's own failed: its memory can no longer be trusted. */
  #broken: Error | undefined;

  /** @throws {ShutdownError} `PACKAGE_MISSING` */
  constructor(path: string, listener: FileListener) {
    this.#folder = resolve(path);
    this.#openFile = openerOf(requireLmdb());
    this.#gate = new Gate(gateFile(this.#folder), this.#openFile);
    this.#listener = listener;
  }

  /** Opens it. @throws what keeps it from being opened: no room, no right to write, a closed gate. Damage does not. */
  open(): void {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#database === undefined) {
      prepareFolder(this.#folder);
      this.#gate.pass(() => this.#openData());
    }
    if (this.#isAnother) this.#tellReplaced();
  }

  #openData(): void {
    if (killsItsReaders(this.#folder)) {
      this.#putAside('the last three processes that read it died of it');
      forgetReaders(this.#folder);
    }
    const fault = findFault(dataFile(this.#folder));
    if (fault !== undefined) this.#putAside(fault);
    try {
      this.#database =
        openAgain(identityOf(dataFile(this.#folder))) ?? this.#openFile(dataFile(this.#folder));
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#putAside(messageOf(error));
      this.#database = this.#openFile(dataFile(this.#folder));
    }
    this.#identity = this.#identityNow();
    this.#room = new Room(dataFile(this.#folder));
  }

  /** Like `use`, for what reads what others wrote: damage may kill the process instead of being an error. */
  read<T>(work: (database: Database) => T): T {
    prepareFolder(this.#folder);
    // Whoever is killed while it waits at the gate has read nothing.
    return this.#gate.pass(() => {
      const takeBack = noteReader(this.#folder);
      try {
        const result = this.use(work);
        forgetReaders(this.#folder);
        return result;
      } catch (error) {
        takeBack();
        throw error;
      }
    });
  }

  /** Like `use`, for a transaction that writes so many bytes of records. */
  write<T>(bytes: number, work: (database: Database) => T): T {
    this.open();
    return this.#gate.pass(() => {
      this.#room?.make(bytes);
      return this.use(work);
    });
  }

  /** Does something with the database; a second time, with a fresh one, when it turns out to be damaged. */
  use<T>(work: (database: Database) => T): T {
    try {
      return mendingLocks(
        () => {
          this.open();
          return this.#database as Database;
        },
        work,
        () => this.#letGo(),
      );
    } catch (error) {
      if (isFailedWrite(error)) this.#giveUp(error as Error);
      if (!isDamage(error)) throw error;
      this.#letGo();
      this.#putAside(messageOf(error));
      this.#isAnother = true;
      this.open();
      return work(this.#database as unknown as Database);
    }
  }

  /** Somebody else put the file aside, or removed it: what this process writes would be found by nobody. */
  checkIdentity(): void {
    if (this.#database === undefined || this.#identityNow() === this.#identity) return;
    this.#listener.warn(`${dataFile(this.#folder)} was replaced; starting with the new one`);
    this.#letGo();
    this.#gate.close();
    this.#isAnother = true;
    this.open();
  }

  /** Nothing more is done with it. */
  close(): void {
    const [database, identity] = [this.#database, this.#identity];
    this.#forget();
    if (this.#broken !== undefined) return;
    if (database !== undefined) leaveOpen(database, identity?.split(',')[0]);
    this.#gate.close();
  }

  /** It is no good, or another one by now. */
  #letGo(): void {
    const database = this.#database;
    this.#forget();
    if (this.#broken === undefined) void database?.close();
  }

  #forget(): void {
    this.#database = undefined;
    this.#room?.close();
    this.#room = undefined;
  }

  /** Of the data and of the gate: whoever has another one of them is alone. */
  #identityNow(): string {
    return [dataFile(this.#folder), gateFile(this.#folder)].map(identityOf).join();
  }

  /** What throws is told again at the next opening. */
  #tellReplaced(): void {
    this.#isAnother = false;
    try {
      this.#listener.replaced();
    } catch (error) {
      this.#isAnother = true;
      throw error;
    }
  }

  #putAside(why: string): void {
    try {
      const place = putAside(this.#folder);
      this.#listener.warn(`the data in ${this.#folder} was put aside: ${why}; it is now ${place}`);
    } catch (error) {
      // Another process was faster.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  /** What was made room for does not fail on most disks; on others it may, and the next write could end the process. */
  #giveUp(error: Error): void {
    this.#broken = new Error(`${messageOf(error)}; LMDB is left alone until this process starts again`, {
      cause: error,
    });
    this.#listener.warn(this.#broken.message);
  }
}

/** EIO, ENOSPC, EDQUOT, as LMDB gives them: numbers. Those of Node's own writes are texts. */
const FAILED_WRITES = new Set([5, 28, 122]);

function isFailedWrite(error: unknown): boolean {
  return FAILED_WRITES.has((error as { code?: unknown } | undefined)?.code as number);
}

function isDamage(error: unknown): boolean {
  return DAMAGE.has((error as { code?: unknown } | undefined)?.code as number);
}

function openerOf(open: Open): OpenFile {
  return (path, options) =>
    open({
      path,
      noSubdir: true,
      encoding: 'string',
      // What was written is in the kernel's hands, which is all that a kill of the process can ask for.
      noSync: true,
      permissionsMode: 0o600,
      maxReaders: 512,
      ...options,
    });
}

function requireLmdb(): Open {
  try {
    return (createRequire(import.meta.url)('lmdb') as { open: Open }).open;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    const advice = missing
      ? 'the LMDB store needs a package that is not installed: npm install lmdb'
      : `lmdb is installed and cannot be loaded here: ${messageOf(error)}`;
    throw new ShutdownError('PACKAGE_MISSING', advice, { cause: error });
  }
}
