import { envelopeIdOf, partsOf } from '../envelope.js';
import { messageOf, toError } from '../errors.js';
import type { Logger } from '../logger.js';
import type { JobStore, StoredJob, StoreOwner } from '../store.js';
import { DeliveryMarks } from './delivery-marks.js';
import type { JobHandle } from './job-handle.js';
import type { RecordBook } from './record.js';

/** What the keeper needs from its bus. */
export interface KeeperHost {
  readonly store: JobStore;
  readonly instanceId: string;
  readonly records: RecordBook;
  readonly log: Logger;
  /** What a survivor should know of this process, as text. */
  describe(): string;
  openJobs(): Iterable<JobHandle>;
  /** Records are in memory only from here on, or (`undefined`) in the store again. */
  degraded(error: Error | undefined): void;
}

/** So much is remembered of what a store that fails was not told. */
const MOST_BEHIND = 100_000;
/** After so many jobs that it refuses in a row of tries, a store is left alone until the next one. */
const MOST_REFUSED = 100;

/**
 * Keeps every open job in the store as well, as long as the store works. While it does not, jobs are held in memory as ever,
 * and are put when it works again.
 *
 * ```
 * working ── put, checkpoint, delete ──▶ store
 *    │ it throws            ▲ mend, at each heartbeat
 *    ▼                      │
 * degraded: memory only ────┘
 * ```
 */
export class JobKeeper {
  readonly #host: KeeperHost;
  readonly #owner: StoreOwner;
  #opened = false;
  /** It threw, and is left alone until the next heartbeat. */
  #failure: Error | undefined;
  #failures = 0;
  /** It said itself that it cannot keep records for now; it takes them all the same. */
  #trouble: Error | undefined;
  /** Keys that are in the store and should not be. */
  readonly #leftovers = new Set<string>();
  /** Jobs whose record in the store is not the last one. */
  readonly #behind = new Set<JobHandle>();
  readonly #marks = new DeliveryMarks(this);
  #closing: Promise<void> | undefined;

  constructor(host: KeeperHost) {
    this.#host = host;
    this.#owner = {
      instanceId: host.instanceId,
      describe: () => host.describe(),
      jobs: () => this.#storedJobs(),
      trouble: (error) => this.#setTrouble(error),
      warn: (line) => host.log.warn(`store ${host.store.name}: ${line}`),
    };
  }

  get store(): JobStore {
    return this.#host.store;
  }

  /** Why records are in memory only; `undefined` while all is well. */
  get degraded(): Error | undefined {
    return this.#failure ?? this.#trouble;
  }

  /** Opens the store. Never throws. */
  open(): void {
    try {
      this.#open();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Whether a survivor would find this job in the store. */
  keeps(job: JobHandle): boolean {
    return job.kept && this.degraded === undefined && this.#host.store.durable;
  }

  begun(job: JobHandle): void {
    if (this.#failure !== undefined) return;
    try {
      this.#put(job);
    } catch (error) {
      this.#fail(error);
    }
  }

  checkpointed(job: JobHandle): void {
    // One that was not put yet will be put with it; one that was reported is in the store no more.
    if (!job.keeping || job.forgotten) return;
    try {
      if (this.#failure === undefined) {
        this.#host.store.checkpoint(job.key, this.#host.records.progress(job));
        return;
      }
    } catch (error) {
      this.#fail(error);
    }
    if (this.#behind.size < MOST_BEHIND) this.#behind.add(job);
  }

  finished(job: JobHandle): void {
    job.markKept();
    if (!job.keeping) return;
    try {
      if (this.#failure === undefined) {
        this.#host.store.delete(job.key);
        return;
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#behind.delete(job);
    if (this.#leftovers.size < MOST_BEHIND) this.#leftovers.add(job.key);
  }

  /** The store did not hear that these were reported: it will, or the next start reports them again. */
  unmarked(envelopeIds: readonly string[]): void {
    for (const [instanceId, key] of envelopeIds.map(partsOf))
      if (instanceId === this.#host.instanceId && this.#leftovers.size < MOST_BEHIND)
        this.#leftovers.add(key);
  }

  /** Every notifier took its report. @param truncated without its payload */
  delivered(job: JobHandle, truncated: boolean): void {
    this.#behind.delete(job);
    if (job.keeping) this.#marks.add(envelopeIdOf(this.#host.instanceId, job.key), truncated);
  }

  /** A sign of life; also the moment to see whether a store that failed works again. Never rejects. */
  async beat(): Promise<void> {
    await this.try(async () => {
      try {
        if (this.#failure !== undefined) this.#mend();
      } finally {
        // A job that it refuses is no sign of death.
        if (this.#opened) await this.#host.store.heartbeat?.();
      }
    });
  }

  /** Something else with the store, whose failure is to be known. Never rejects. */
  async try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Lets go of the store: what is still in it is for others. Never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#marks.settle();
    // One that refused to be opened may be somebody else's.
    if (this.#opened) await this.try(() => this.#host.store.close());
  }

  #open(): void {
    if (this.#opened) return;
    this.#host.store.open?.(this.#owner);
    this.#opened = true;
  }

  /** Resolves when the store has it, or has refused it after all. */
  #put(job: JobHandle): void | Promise<void> {
    const written = this.#host.store.put(this.#stored(job));
    job.keeping = true;
    if (written !== undefined)
      return written.then(
        () => job.markKept(),
        (error: unknown) => {
          job.keeping = false;
          this.#fail(error);
        },
      );
    job.markKept();
  }

  /** @throws what the first job that cannot be kept fails with: all others are kept, one that is too large costs nobody else. */
  #mend(): void {
    this.#open();
    for (const key of this.#leftovers) {
      this.#host.store.delete(key);
      this.#leftovers.delete(key);
    }
    const refusals: unknown[] = [];
    const underWay: Promise<void>[] = [];
    for (const job of this.#host.openJobs()) {
      if (job.keeping && !this.#behind.has(job)) continue;
      try {
        const written = this.#put(job);
        if (written !== undefined) underWay.push(written);
        this.#behind.delete(job);
      } catch (error) {
        refusals.push(error);
      }
      // Not this one or that one, but the store.
      if (refusals.length >= MOST_REFUSED) break;
    }
    if (refusals.length > 0) throw refusals[0];
    if (underWay.length === 0) this.#recovered();
    else void this.#recoverAfter(underWay);
  }

  async #recoverAfter(underWay: readonly Promise<void>[]): Promise<void> {
    const before = this.#failures;
    await Promise.all(underWay);
    if (this.#failures !== before) return;
    this.#recovered();
    // What was begun, finished or changed meanwhile.
    await this.try(async () => this.#mend());
  }

  #recovered(): void {
    if (this.#failure === undefined) return;
    this.#failure = undefined;
    this.#tell();
  }

  #stored(job: JobHandle): StoredJob {
    const { records } = this.#host;
    const progress = job.progress === undefined ? undefined : records.progress(job);
    return { key: job.key, record: records.record(job), progress };
  }

  *#storedJobs(): Generator<StoredJob> {
    for (const job of this.#host.openJobs()) yield this.#stored(job);
  }

  #fail(error: unknown): void {
    this.#failures += 1;
    const news = this.#failure?.message !== messageOf(error);
    this.#failure = toError(error);
    if (news) this.#tell();
  }

  #setTrouble(error: Error | undefined): void {
    const changed = (this.#trouble === undefined) !== (error === undefined);
    this.#trouble = error;
    if (changed) this.#tell();
  }

  #tell(): void {
    const { store, log, degraded } = this.#host;
    const error = this.degraded;
    if (error === undefined) log.warn(`the job store ${store.name} works again; it holds all open jobs`);
    else
      log.error(
        `the job store ${store.name} failed: ${messageOf(error)}; open jobs are held in memory only, and would be lost with ` +
          'this process, until it works again',
      );
    degraded(error);
  }
}
