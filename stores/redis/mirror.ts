import { randomBytes } from 'node:crypto';
import type { StoredJob, StoreOwner } from '../../src/store.js';
import { indexKey, keysOf } from './keys.js';
import { acknowledge, type Batch, Ledger } from './ledger.js';
import { ask, failure, type Line, SLOW_MS } from './line.js';
import { Pulse } from './pulse.js';
import { BEGIN_COPY, END_COPY, ENLIST, GOODBYE, SUSPECT, UNLIST, WRITE } from './scripts.js';

/** What it needs to know of its store. */
export interface MirrorHost {
  readonly line: Line;
  readonly owner: StoreOwner;
  readonly prefix: string;
  readonly leaseMs: number;
}

/**
 * Keeps Redis's copy of the open jobs like the original, one batch after the other. Whenever the copy may be another one, after a
 * lost connection say, it is made anew: beside the old one, which it then replaces at once, so that no moment is without.
 *
 * ```
 * apart ──▶ copy all jobs ──▶ together ──▶ batch, batch, …
 *   ▲                                        │ failed, not that copy, not so many jobs as there should be
 *   └────────────────────────────────────────┘
 * ```
 */
export class Mirror {
  readonly #host: MirrorHost;
  readonly #keys: readonly string[];
  readonly #index: readonly string[];
  readonly #ledger = new Ledger();
  readonly #pulse: Pulse;
  /** Of the copy in Redis; `undefined` while there is none that we know. */
  #epoch: string | undefined;
  #hadCopy = false;
  #troubled = false;
  /** Changes whenever Redis's copy gets out of sight. */
  #round = 0;
  #scheduled = false;
  #running = false;
  #beatDue = false;
  #beatWaiters: (() => void)[] = [];
  #closing: { readonly done: () => void; hasFailed: boolean } | undefined;

  constructor(host: MirrorHost) {
    this.#host = host;
    this.#keys = keysOf(host.prefix, host.owner.instanceId);
    this.#index = [indexKey(host.prefix)];
    this.#pulse = new Pulse(host.leaseMs);
  }

  /** Whether Redis was there for a whole lease without a gap: long enough for every living instance to renew its own. */
  get isSteady(): boolean {
    return this.#epoch !== undefined && this.#pulse.isSteady();
  }

  /** Resolves when Redis has the record, or the job is completed. */
  put(job: StoredJob): Promise<void> {
    const kept = this.#ledger.put(job);
    this.wake();
    return kept;
  }

  checkpoint(key: string, progress: string): void {
    this.#ledger.checkpoint(key, progress);
    this.wake();
  }

  delete(key: string): void {
    this.#ledger.delete(key);
    this.wake();
  }

  /** Renews the lease. Resolves when that is done, has failed, or takes long. */
  beat(): Promise<void> {
    if (this.#epoch === undefined || !this.#host.line.isUp) return Promise.resolve();
    this.#beatDue = true;
    this.wake();
    return new Promise((resolve) => this.#beatWaiters.push(resolve));
  }

  /** Redis cannot be reached, or refuses something. */
  down(error: Error): void {
    this.#round += 1;
    this.#epoch = undefined;
    this.#ledger.part();
    this.#pulse.stop();
    this.slow(error);
    if (this.#closing === undefined) return;
    // The second time there is no more hope for now.
    if (this.#closing.hasFailed) this.#closing.done();
    this.#closing.hasFailed = true;
  }

  /** Redis takes its time. */
  slow(error: Error): void {
    this.#troubled = true;
    this.#host.owner.trouble(error);
    this.#releaseBeats();
  }

  /** Writes what is to be written, then gives up the lease. Resolves when that is done, or cannot be. */
  async close(): Promise<void> {
    const { owner, line } = this.#host;
    const isNothingThere = () => !this.#hadCopy && owner.jobs()[Symbol.iterator]().next().done === true;
    if ((this.#troubled && !line.isUp) || isNothingThere()) return;
    await new Promise<void>((done) => {
      this.#closing = { done, hasFailed: false };
      this.wake();
    });
    this.#closing = undefined;
  }

  /** There may be something to do. */
  wake(): void {
    if (this.#ledger.isAwaited) this.#host.line.await();
    if (this.#scheduled || this.#running || !this.#host.line.isUp) return;
    this.#scheduled = true;
    // What is done in the same turn goes together, or not at all.
    setImmediate(() => {
      this.#scheduled = false;
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    const { line } = this.#host;
    for (let isMore = true; isMore && line.isUp; ) {
      const round = this.#round;
      try {
        await this.#step();
      } catch (error) {
        if (round === this.#round) line.drop(error as Error);
      }
      isMore = this.#hasWork;
    }
    this.#running = false;
  }

  get #hasWork(): boolean {
    const { isDirty } = this.#ledger;
    return this.#epoch === undefined || isDirty || this.#beatDue || this.#closing !== undefined;
  }

  async #step(): Promise<void> {
    if (this.#epoch === undefined) await this.#copyAll();
    else if (this.#beatDue || this.#ledger.isDirty) await this.#writeBatch(this.#epoch);
    else await this.#sayGoodbye(this.#epoch);
  }

  async #copyAll(): Promise<void> {
    const { owner, leaseMs } = this.#host;
    const round = this.#round;
    const startedMs = performance.now();
    const epoch = randomBytes(6).toString('hex');
    this.#ledger.startCopy();
    const isBegun = this.#ask(BEGIN_COPY, [epoch, leaseMs, owner.describe()]);
    await Promise.all([isBegun, this.#enlist()]);
    const jobs = owner.jobs()[Symbol.iterator]();
    for (let batch = this.#ledger.takeCopy(jobs); batch; batch = this.#ledger.takeCopy(jobs)) {
      await this.#write('next', epoch, batch);
      if (round !== this.#round) return;
    }
    if ((await this.#ask(END_COPY, [epoch, leaseMs])) !== 1)
      throw failure('another copy of the jobs came first');
    if (round !== this.#round) return;
    this.#epoch = epoch;
    this.#hadCopy = true;
    this.#ledger.endCopy();
    this.#pulse.beat();
    this.#settleTrouble(startedMs);
  }

  async #writeBatch(epoch: string): Promise<void> {
    const round = this.#round;
    const startedMs = performance.now();
    const isBeat = this.#beatDue;
    this.#beatDue = false;
    const batch = this.#ledger.take();
    const isAll = !this.#ledger.isDirty;
    const { size } = this.#ledger;
    try {
      const [there] = await Promise.all([
        this.#write('epoch', epoch, batch, isBeat),
        isBeat ? this.#enlist() : undefined,
      ]);
      if (round !== this.#round) throw failure('it was too late');
      this.#check(there, size);
    } catch (error) {
      this.#ledger.putBack(batch);
      throw error;
    }
    acknowledge(batch);
    if (isBeat) {
      this.#pulse.beat();
      this.#releaseBeats();
    }
    if (isAll) this.#settleTrouble(startedMs);
  }

  #check(there: number, size: number): void {
    const { leaseMs } = this.#host;
    if (there < 0)
      throw failure(
        `this process was silent for longer than its lease of ${leaseMs} ms; others may have reported its jobs`,
      );
    if (there !== size)
      throw failure(
        `Redis holds ${there} of ${size} open jobs; set maxmemory-policy to noeviction if it evicts keys`,
      );
  }

  async #sayGoodbye(epoch: string): Promise<void> {
    const { owner } = this.#host;
    const left = await this.#ask(GOODBYE, [epoch, owner.describe()]);
    await this.#ask(left === 0 ? UNLIST : SUSPECT, [owner.instanceId], this.#index);
    this.#closing?.done();
    this.#closing = undefined;
  }

  async #write(field: 'epoch' | 'next', epoch: string, batch: Batch, tellsOwner = false): Promise<number> {
    const { records, progress, bare, gone } = batch;
    const { owner, leaseMs } = this.#host;
    const about = tellsOwner ? owner.describe() : '';
    const counts = [records.length / 2, progress.length / 2, bare.length];
    const holds =
      this.#closing !== undefined || records.length + progress.length + bare.length + gone.length > 0;
    const args = [epoch, field, leaseMs, about, ...counts, ...records, ...progress, ...bare, ...gone];
    return (await this.#ask(WRITE, args, this.#keys, holds)) as number;
  }

  async #enlist(): Promise<void> {
    const { owner, leaseMs } = this.#host;
    await this.#ask(ENLIST, [owner.instanceId, leaseMs], this.#index, false);
  }

  #ask(
    script: string,
    args: readonly (string | number)[],
    keys = this.#keys,
    holds = this.#closing !== undefined || this.#ledger.isAwaited,
  ): Promise<unknown> {
    return ask(this.#host.line, script, keys, args, { holds, slow: (error) => this.slow(error) });
  }

  /** Redis answered, and knows all that it should. */
  #settleTrouble(startedMs: number): void {
    if (!this.#troubled || performance.now() - startedMs >= SLOW_MS) return;
    this.#troubled = false;
    this.#host.owner.trouble(undefined);
  }

  #releaseBeats(): void {
    const waiters = this.#beatWaiters;
    this.#beatWaiters = [];
    for (const resolve of waiters) resolve();
  }
}
