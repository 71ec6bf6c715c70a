import { randomBytes } from 'node:crypto';
import type { StoredJob } from '../../src/store.js';
import { Copy, type CopyHost, type Manner, WrongCopy } from './copy.js';
import { acknowledge, isEmpty, Ledger } from './ledger.js';
import { failure, SLOW_MS } from './line.js';
import { Pulse } from './pulse.js';

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
  readonly #host: CopyHost;
  readonly #copy: Copy;
  readonly #ledger = new Ledger();
  readonly #pulse: Pulse;
  /** Of the copy in Redis; `undefined` while there is none that we know. */
  #epoch: string | undefined;
  #hadCopy = false;
  /** Changes whenever Redis's copy gets out of sight. */
  #round = 0;
  #isUp = false;
  #isTroubled = false;
  #lastWrongMs = Number.NaN;
  #isScheduled = false;
  #isRunning = false;
  #isBeatDue = false;
  #beatWaiters: (() => void)[] = [];
  #closing: (() => void) | undefined;

  constructor(host: CopyHost) {
    this.#host = host;
    this.#copy = new Copy(host);
    this.#pulse = new Pulse(host.leaseMs);
  }

  /** Whether Redis was there for a whole lease without a gap: long enough for every living instance to renew its own. */
  get isSteady(): boolean {
    return this.#epoch !== undefined && this.#pulse.isSteady();
  }

  /** Resolves when Redis has the record, or the job is completed. */
  put(job: StoredJob): Promise<void> {
    const kept = this.#ledger.put(job);
    this.#wake();
    return kept;
  }

  checkpoint(key: string, progress: string): void {
    this.#ledger.checkpoint(key, progress);
    this.#wake();
  }

  delete(key: string): void {
    this.#ledger.delete(key);
    this.#wake();
  }

  /** Redis keeps its record, and gives it to nobody. */
  setAside(key: string): void {
    this.#ledger.setAside(key);
    this.#wake();
  }

  /** Renews the lease. Resolves when that is done, has failed, or takes long. */
  beat(): Promise<void> {
    if (this.#epoch === undefined || !this.#host.line.isUp) return Promise.resolve();
    this.#isBeatDue = true;
    this.#wake();
    return new Promise((resolve) => this.#beatWaiters.push(resolve));
  }

  /** Redis can be reached. */
  up(): void {
    this.#isUp = true;
    this.#wake();
  }

  /** Redis cannot be reached, or refuses something. */
  down(error: Error): void {
    this.#part(error);
    // Lost, it may be there again at once. Not found, there is no hope for now.
    if (!this.#isUp) this.#closing?.();
    this.#isUp = false;
  }

  /** Redis takes its time. */
  slow(error: Error): void {
    this.#isTroubled = true;
    this.#host.owner.trouble(error);
    this.#releaseBeats();
  }

  /** Writes what is to be written, then gives up the lease. Resolves when that is done, or cannot be. */
  async close(): Promise<void> {
    const { owner, line } = this.#host;
    // A first copy that is under way may hold what is open no more.
    const hasTold = this.#hadCopy || this.#isRunning;
    if (!hasTold && owner.jobs()[Symbol.iterator]().next().done === true) return;
    await new Promise<void>((resolve) => {
      this.#closing = resolve;
      line.hurry();
      this.#wake();
    });
    this.#closing = undefined;
  }

  #wake(): void {
    if (this.#ledger.isAwaited) this.#host.line.await();
    if (this.#isScheduled || this.#isRunning || !this.#host.line.isUp) return;
    this.#isScheduled = true;
    // What is done in the same turn goes together, or not at all.
    setImmediate(() => {
      this.#isScheduled = false;
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (let isMore = true; isMore && this.#host.line.isUp; ) {
      const round = this.#round;
      try {
        await this.#step();
      } catch (error) {
        if (round === this.#round) this.#fail(error as Error);
      }
      isMore =
        this.#epoch === undefined || this.#isBeatDue || this.#ledger.isDirty || this.#closing !== undefined;
    }
    this.#isRunning = false;
  }

  async #step(): Promise<void> {
    if (this.#epoch === undefined) await this.#copyAll();
    else if (this.#isBeatDue || this.#ledger.isDirty) await this.#writeBatch(this.#epoch);
    else await this.#sayGoodbye(this.#epoch);
  }

  async #copyAll(): Promise<void> {
    const round = this.#round;
    const startedMs = performance.now();
    const epoch = randomBytes(6).toString('hex');
    this.#ledger.startCopy();
    await this.#copy.begin(epoch, this.#manner());
    const jobs = this.#host.owner.jobs()[Symbol.iterator]();
    for (let batch = this.#ledger.takeCopy(jobs); batch; batch = this.#ledger.takeCopy(jobs)) {
      await this.#copy.add(epoch, batch, this.#manner());
      if (round !== this.#round) return;
    }
    await this.#endCopy(epoch);
    if (round !== this.#round) return;
    this.#epoch = epoch;
    this.#hadCopy = true;
    this.#ledger.endCopy();
    this.#pulse.beat();
    this.#settleTrouble(startedMs);
  }

  async #endCopy(epoch: string): Promise<void> {
    const aside = this.#ledger.takeAside();
    try {
      await this.#copy.end(epoch, aside, this.#manner());
    } catch (error) {
      this.#ledger.putBack({ waiters: new Map(), aside });
      throw error;
    }
  }

  async #writeBatch(epoch: string): Promise<void> {
    const round = this.#round;
    const startedMs = performance.now();
    const isBeat = this.#isBeatDue;
    this.#isBeatDue = false;
    const batch = this.#ledger.take();
    const { isDirty, size } = this.#ledger;
    const manner = this.#manner(!isEmpty(batch));
    try {
      if (isBeat) await this.#copy.renew(epoch, batch, size, manner);
      else await this.#copy.change(epoch, batch, size, manner);
      if (round !== this.#round) throw failure('the answer came too late');
    } catch (error) {
      this.#ledger.putBack(batch);
      throw error;
    }
    acknowledge(batch);
    if (isBeat) this.#pulse.beat();
    if (isBeat) this.#releaseBeats();
    if (!isDirty) this.#settleTrouble(startedMs);
  }

  async #sayGoodbye(epoch: string): Promise<void> {
    await this.#copy.leave(epoch, this.#manner());
    this.#closing?.();
    this.#closing = undefined;
  }

  /** A copy that is not the right one can be made anew over the same line; but not again and again. */
  #fail(error: Error): void {
    const nowMs = performance.now();
    const isAgain = nowMs - this.#lastWrongMs < SLOW_MS;
    if (error instanceof WrongCopy) this.#lastWrongMs = nowMs;
    if (error instanceof WrongCopy && !isAgain) this.#part(error);
    else this.#host.line.drop(error);
  }

  #part(error: Error): void {
    this.#round += 1;
    this.#epoch = undefined;
    this.#ledger.part();
    this.#pulse.stop();
    this.slow(error);
  }

  #manner(isWanted = this.#ledger.isAwaited): Manner {
    return { holds: isWanted || this.#closing !== undefined, slow: (error) => this.slow(error) };
  }

  /** Redis answered, and knows all that it should. */
  #settleTrouble(startedMs: number): void {
    if (!this.#isTroubled || performance.now() - startedMs >= SLOW_MS) return;
    this.#isTroubled = false;
    this.#host.owner.trouble(undefined);
  }

  #releaseBeats(): void {
    const waiters = this.#beatWaiters;
    this.#beatWaiters = [];
    for (const resolve of waiters) resolve();
  }
}
