import type { StoredJob } from '../../src/store.js';
import { fieldOf, keyOf } from './keys.js';

/** A part of what Redis must be told. */
export interface Batch {
  /** Fields and records, in turn. */
  readonly records: string[];
  /** Fields and checkpoints, in turn. */
  readonly progress: string[];
  /** Fields whose record was replaced by one without a checkpoint. */
  readonly bare: string[];
  /** Fields whose record is to be kept, and not to be claimed. */
  readonly aside: string[];
  /** Fields of jobs that are open no more. */
  readonly gone: string[];
  /** Who waits for it, by key. */
  readonly waiters: Map<string, Waiter>;
}

interface Waiter {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

/** So much in one go: enough to be worth it, little enough to be answered at once. */
const MOST_JOBS = 1000;
const MOST_BYTES = 512 * 1024;

/**
 * What Redis must still be told of the open jobs; nothing else is held twice. Of a job that was begun and completed between two batches
 * nothing is told at all.
 *
 * ```
 * apart ── startCopy ──▶ copying ── endCopy ──▶ together
 *   ▲   only waiters        │  all jobs, then what     │  changes
 *   │                       │  changed meanwhile       │
 *   └───────── part ────────┴──────────────────────────┘
 * ```
 */
export class Ledger {
  /** Keys that are in Redis, as far as it was told. */
  readonly #told = new Set<string>();
  readonly #records = new Map<string, string>();
  /** `undefined`: it must go. */
  readonly #progress = new Map<string, string | undefined>();
  readonly #gone = new Set<string>();
  /** Kept also while apart: the old copy has their records, the new one will not. */
  readonly #aside = new Set<string>();
  readonly #waiters = new Map<string, Waiter>();
  #apart = true;

  /** How many jobs Redis has, once it took every batch. */
  get size(): number {
    return this.#told.size;
  }

  /** Whether there is another batch. */
  get isDirty(): boolean {
    return this.#records.size + this.#progress.size + this.#gone.size + this.#aside.size > 0;
  }

  /** Whether somebody waits for a job to be safe. */
  get isAwaited(): boolean {
    return this.#waiters.size > 0;
  }

  /** Resolves when Redis has the record, or the job is completed. */
  put({ key, record, progress }: StoredJob): Promise<void> {
    if (!this.#apart) {
      this.#records.set(key, record);
      if (progress !== undefined || this.#told.has(key)) this.#progress.set(key, progress);
      else this.#progress.delete(key);
      this.#gone.delete(key);
    }
    return this.#waiterFor(key).promise;
  }

  checkpoint(key: string, progress: string): void {
    if (this.#records.has(key) || this.#told.has(key)) this.#progress.set(key, progress);
  }

  delete(key: string): void {
    this.#forget(key);
    if (this.#told.has(key)) this.#gone.add(key);
    this.#release(key);
  }

  /** Redis keeps its record, and it is open no more. */
  setAside(key: string): void {
    if (this.#apart || this.#told.has(key) || this.#records.has(key)) this.#aside.add(key);
    this.#release(key);
  }

  /** The next batch. */
  take(): Batch {
    const batch = emptyBatch();
    let room = MOST_BYTES;
    const isFull = () => room <= 0 || jobsIn(batch) >= MOST_JOBS;
    for (const key of this.#gone) {
      if (isFull()) return batch;
      batch.gone.push(fieldOf(key));
      this.#gone.delete(key);
      this.#told.delete(key);
    }
    for (const [key, record] of this.#records) {
      if (isFull()) return batch;
      room -= record.length;
      this.#tell(batch, key, record);
      const waiter = this.#waiters.get(key);
      if (waiter !== undefined) batch.waiters.set(key, waiter);
      this.#waiters.delete(key);
    }
    for (const [key, progress] of this.#progress) {
      if (this.#records.has(key)) continue;
      if (isFull()) return batch;
      room -= progress?.length ?? 0;
      this.#tellProgress(batch, key, progress);
    }
    // What is told of them comes before.
    for (const key of this.#aside) {
      if (isFull()) return batch;
      batch.aside.push(fieldOf(key));
      this.#aside.delete(key);
      this.#told.delete(key);
    }
    return batch;
  }

  /** Those to be set aside that the old copy has and the new one has not. */
  takeAside(): readonly string[] {
    const keys = [...this.#aside].filter((key) => !this.#told.has(key));
    for (const key of keys) this.#aside.delete(key);
    return keys.map(fieldOf);
  }

  /** Redis did not take it, or nobody knows. */
  putBack({ waiters, aside }: Pick<Batch, 'waiters'> & { readonly aside: readonly string[] }): void {
    for (const field of aside) this.#aside.add(keyOf(field));
    for (const [key, waiter] of waiters) {
      const newer = this.#waiters.get(key);
      if (newer === undefined) this.#waiters.set(key, waiter);
      else void newer.promise.then(waiter.resolve);
    }
  }

  /** What Redis has is anybody's guess. */
  part(): void {
    this.#apart = true;
    for (const list of [this.#told, this.#records, this.#progress, this.#gone]) list.clear();
  }

  /** From here on changes count again. */
  startCopy(): void {
    this.#apart = false;
  }

  /** The next part of the copy; `undefined` when it is whole. */
  takeCopy(jobs: Iterator<StoredJob>): Batch | undefined {
    const batch = emptyBatch();
    let room = MOST_BYTES;
    while (room > 0 && jobsIn(batch) < MOST_JOBS) {
      const { value: job, done } = jobs.next();
      if (done) break;
      room -= job.record.length + (job.progress?.length ?? 0);
      // What is copied is the latest.
      this.#forget(job.key);
      if (job.progress !== undefined || this.#told.has(job.key)) this.#progress.set(job.key, job.progress);
      this.#tell(batch, job.key, job.record);
    }
    return jobsIn(batch) === 0 ? undefined : batch;
  }

  /** Redis has the whole copy. What is not to follow in a batch is in it, or was completed. */
  endCopy(): void {
    for (const [key, { resolve }] of this.#waiters) {
      if (this.#records.has(key)) continue;
      this.#waiters.delete(key);
      resolve();
    }
  }

  #tell(batch: Batch, key: string, record: string): void {
    batch.records.push(fieldOf(key), record);
    if (this.#progress.has(key)) this.#tellProgress(batch, key, this.#progress.get(key));
    this.#records.delete(key);
    this.#gone.delete(key);
    this.#told.add(key);
  }

  #tellProgress(batch: Batch, key: string, progress: string | undefined): void {
    if (progress === undefined) batch.bare.push(fieldOf(key));
    else batch.progress.push(fieldOf(key), progress);
    this.#progress.delete(key);
  }

  /** Nobody needs to wait for it any more. */
  #release(key: string): void {
    this.#waiters.get(key)?.resolve();
    this.#waiters.delete(key);
  }

  #forget(key: string): void {
    this.#records.delete(key);
    this.#progress.delete(key);
    this.#gone.delete(key);
  }

  #waiterFor(key: string): Waiter {
    let waiter = this.#waiters.get(key);
    if (waiter === undefined) {
      let resolve = () => {};
      const promise = new Promise<void>((settle) => {
        resolve = settle;
      });
      waiter = { promise, resolve };
      this.#waiters.set(key, waiter);
    }
    return waiter;
  }
}

/** Redis took it. */
export function acknowledge({ waiters }: Batch): void {
  for (const { resolve } of waiters.values()) resolve();
}

function emptyBatch(): Batch {
  return { records: [], progress: [], bare: [], aside: [], gone: [], waiters: new Map() };
}

function jobsIn({ records, progress, bare, aside, gone }: Batch): number {
  return records.length / 2 + progress.length / 2 + bare.length + aside.length + gone.length;
}

/** Nothing is to be told. */
export function isEmpty(batch: Batch): boolean {
  return jobsIn(batch) === 0;
}
