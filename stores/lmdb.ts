import { refuseMisspelt, ShutdownError, show } from '../src/errors.js';
import type { ClaimOptions, JobStore, Orphan, StoredJob, StoreOwner, StoreOwnership } from '../src/store.js';
import { asideBytesOf } from './lmdb/aside.js';
import { Claims, type GivenBack } from './lmdb/claims.js';
import { type Database, DataFile } from './lmdb/data-file.js';
import { type OwnerRecord, removeInstance } from './lmdb/instances.js';
import { type Kind, placeOf, rangeOf } from './lmdb/keys.js';
import { type Life, ownLife } from './lmdb/life.js';
import { transact } from './lmdb/mending-locks.js';
import { giveUpName, Names } from './lmdb/names.js';
import { writeRecord } from './lmdb/records.js';

/** Options of {@link lmdbStore}. */
export interface LmdbStoreOptions {
  /**
   * A folder on a local disk, shared by all processes that are to report each other's jobs; made, with mode 0700, where it is
   * missing. Not on a network file system: LMDB's locks do not reach across machines.
   */
  readonly path: string;
}

/**
 * Keeps open jobs in an LMDB file, where they outlive SIGKILL, an out-of-memory kill and a crash: `begin` returns when the
 * kernel has the record. Whoever starts on the same path next, or runs on it already, reports what a dead process left.
 *
 * ```
 * path/jobs.mdb               mode 0600, holds open jobs, and who owns which name
 * path/gate.mdb               empty: its lock lets one process at a time in
 * path/jobs.mdb.aside-<when>  data that could not be read
 * ```
 *
 * A crash of the whole machine may cost the records of its last seconds: nothing is flushed to the disk.
 * @throws {ShutdownError} `PACKAGE_MISSING` when `lmdb` is not installed, `INVALID_OPTION` for a path that is no text.
 */
export function lmdbStore(options: LmdbStoreOptions): JobStore {
  refuseMisspelt('lmdbStore', options, { path: true });
  const { path } = options;
  if (typeof path !== 'string' || path === '') {
    const advice = 'the folder that holds the jobs, such as "/var/lib/orders/jobs"';
    throw new ShutdownError('INVALID_OPTION', `lmdbStore: path is ${show(path)}; allowed: ${advice}`);
  }
  return new LmdbStore(path);
}

/** What the room for a transaction is made for. */
const A_PAGE = 4096;
const OWNER_BYTES = 2 * A_PAGE;
const CLAIM_BYTES = 256 * A_PAGE;

class LmdbStore implements JobStore {
  readonly name = 'lmdb';
  readonly durable = true;
  readonly heartbeatMs = 2000;
  readonly #file: DataFile;
  /** Our own jobs that have a checkpoint. */
  readonly #checkpointed = new Set<string>();
  #owner: StoreOwner | undefined;
  readonly #warn = (line: string) => this.#owner?.warn(line);
  #claims = new Claims('', this.#warn);
  #names: Names | undefined;
  /** The data was lost: owners that live are to say so first. */
  #quietUntilMs = 0;
  #closed = false;

  constructor(path: string) {
    this.#file = new DataFile(path, {
      warn: this.#warn,
      replaced: () => this.#putAgain(),
    });
  }

  open(owner: StoreOwner): void {
    const { instanceId } = this.#owner ?? owner;
    if (instanceId !== owner.instanceId) {
      const advice = `it belongs to the bus ${instanceId}, and each would overwrite the other's jobs; make another one for this bus`;
      throw new ShutdownError('INVALID_OPTION', `lmdbStore: one store object belongs to one bus: ${advice}`);
    }
    this.#owner = owner;
    this.#claims = new Claims(owner.instanceId, this.#warn);
    this.#names ??= new Names({
      instanceId,
      beat: () => this.heartbeat(),
      release: (place, value, next) => this.#giveUpName(place, value, next),
    });
    this.#file.read((database) => this.#claims.free(database));
    this.#file.write(OWNER_BYTES, (database) => this.#writeOwner(database));
  }

  put({ key, record, progress }: StoredJob): void | Promise<void> {
    // Nobody has it, and nobody will.
    if (this.#closed) return new Promise(() => {});
    const [place, value] = [this.#place('job', key), writeRecord(key, record)];
    this.#file.write(Buffer.byteLength(value), (database) => database.putSync(place, value));
    if (progress !== undefined) this.checkpoint(key, progress);
    else this.#forgetProgress(key);
  }

  checkpoint(key: string, progress: string): void {
    if (this.#closed) return;
    const place = this.#place('progress', key);
    this.#file.write(Buffer.byteLength(progress), (database) => database.putSync(place, progress));
    this.#checkpointed.add(key);
  }

  delete(key: string): void {
    if (this.#closed) return;
    this.#file.write(0, (database) => database.removeSync(this.#place('job', key)));
    this.#forgetProgress(key);
  }

  heartbeat(): void {
    if (this.#closed) return;
    this.#file.checkIdentity();
    this.#file.write(OWNER_BYTES, (database) =>
      this.#names?.beat(database, () => this.#writeOwner(database)),
    );
  }

  async claimOrphans(options?: ClaimOptions): Promise<readonly Orphan[]> {
    if (this.#closed) return [];
    const free = this.#file.use((database) => this.#claims.free(database));
    if (free.length === 0) return [];
    return this.#file.read(() =>
      this.#file.write(CLAIM_BYTES, (database) => this.#claims.claim(database, free, options)),
    );
  }

  async markDelivered(envelopeIds: readonly string[]): Promise<void> {
    if (this.#closed) return;
    const bytes = envelopeIds.length * A_PAGE;
    this.#file.write(bytes, (database) => this.#claims.remove(database, envelopeIds));
  }

  async giveBack(envelopeIds: readonly string[], how: GivenBack): Promise<void> {
    if (this.#closed) return;
    const bytes = envelopeIds.length * A_PAGE;
    try {
      this.#file.write(bytes, (database) => this.#claims.giveBack(database, envelopeIds, how));
    } catch (error) {
      if (!how.keep) this.#claims.forget(envelopeIds);
      throw error;
    }
  }

  async setAside(envelopeIds: readonly string[]): Promise<void> {
    if (this.#closed) return;
    const records = this.#file.use((database) => asideBytesOf(database, envelopeIds));
    const bytes = records + envelopeIds.length * A_PAGE;
    this.#file.write(bytes, (database) => this.#claims.setAside(database, envelopeIds));
  }

  async own(name: string): Promise<StoreOwnership | undefined> {
    const names = this.#names;
    if (this.#closed) return undefined;
    if (names === undefined) throw new ShutdownError('STORE_FAILED', 'lmdbStore: it is not open');
    this.#file.checkIdentity();
    return this.#file.write(OWNER_BYTES, (database) =>
      performance.now() < this.#quietUntilMs
        ? undefined
        : names.take(database, name, () => this.#writeOwner(database)),
    );
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#owner === undefined) return;
    try {
      this.#file.write(OWNER_BYTES, (database) => this.#sayGoodbye(database));
    } finally {
      this.#names?.end();
      this.#file.close();
    }
  }

  #sayGoodbye(database: Database): void {
    this.#names?.releaseAll(database);
    this.#claims.releaseAll(database);
    const { instanceId } = this.#owner as StoreOwner;
    const [left] = database.getKeys({ ...rangeOf('job', instanceId), limit: 1 });
    if (left === undefined) removeInstance(database, instanceId);
    else this.#writeOwner(database, { ...ownLife(), left: true });
  }

  #writeOwner(database: Database, life: Life = ownLife()): void {
    const { instanceId, describe } = this.#owner as StoreOwner;
    const record: OwnerRecord = { life, about: describe() };
    database.putSync(`owner/${instanceId}`, JSON.stringify(record));
  }

  /** The file is a new one. */
  #putAgain(): void {
    const owner = this.#owner as StoreOwner;
    this.#quietUntilMs = performance.now() + 2 * this.heartbeatMs;
    this.#file.write(OWNER_BYTES, (database) => {
      this.#writeOwner(database);
      this.#names?.putAgain(database);
    });
    for (const job of owner.jobs()) this.put(job);
  }

  #giveUpName(place: string, value: string, next: string | undefined): void {
    this.#file.write(0, (database) => transact(database, () => giveUpName(database, place, value, next)));
  }

  #forgetProgress(key: string): void {
    if (!this.#checkpointed.delete(key)) return;
    this.#file.write(0, (database) => database.removeSync(this.#place('progress', key)));
  }

  #place(kind: Kind, key: string): string {
    return placeOf(kind, (this.#owner as StoreOwner).instanceId, key);
  }
}
