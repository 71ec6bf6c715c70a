import { ShutdownError } from '../../src/errors.js';
import type { StoreOwner } from '../../src/store.js';
import { indexKey, keysOf } from './keys.js';
import type { Batch } from './ledger.js';
import { ask, failure, type Line } from './line.js';
import { BEGIN_COPY, END_COPY, ENLIST, GOODBYE, SUSPECT, UNLIST, WRITE } from './scripts.js';

/** What it needs to know of its store. */
export interface CopyHost {
  readonly line: Line;
  readonly owner: StoreOwner;
  readonly prefix: string;
  readonly leaseMs: number;
}

/** How a question to Redis is asked. */
export interface Manner {
  /** The process lives on until the answer. */
  readonly holds: boolean;
  /** The answer takes long. */
  readonly slow: (error: Error) => void;
}

/** What Redis has is another copy than we thought. */
export class WrongCopy extends ShutdownError {
  constructor(text: string) {
    super('STORE_FAILED', text);
  }
}

/**
 * Redis's copy of one instance's open jobs. Each copy has an epoch of its own, and counts its batches: a replica that takes over and
 * was behind holds the same copy, and as many jobs perhaps, but not the same.
 */
export class Copy {
  readonly #host: CopyHost;
  readonly #keys: readonly string[];
  readonly #index: readonly string[];
  /** So many Redis took of the copy that is written. */
  #batches = 0;

  constructor(host: CopyHost) {
    this.#host = host;
    this.#keys = keysOf(host.prefix, host.owner.instanceId);
    this.#index = [indexKey(host.prefix)];
  }

  /** Starts a new one beside the old one. The lease begins, too. */
  async begin(epoch: string, manner: Manner): Promise<void> {
    const { owner, leaseMs } = this.#host;
    const isBegun = this.#ask(BEGIN_COPY, this.#keys, [epoch, leaseMs, owner.describe()], manner);
    await Promise.all([isBegun, this.#enlist(manner)]);
    this.#batches = 0;
  }

  /** Adds jobs to the new one. */
  async add(epoch: string, batch: Batch, manner: Manner): Promise<void> {
    if ((await this.#write('next', epoch, batch, '', manner)) < 0) throw anotherOne();
  }

  /** The new one is whole, and takes the place of the old one, of which only what is to be set aside is kept. */
  async end(epoch: string, aside: readonly string[], manner: Manner): Promise<void> {
    const args = [epoch, this.#batches, this.#host.leaseMs, ...aside];
    const isEnded = (await this.#ask(END_COPY, this.#keys, args, manner)) as number;
    if (isEnded === -2) throw anotherState();
    if (isEnded < 0) throw anotherOne();
    this.#batches = 0;
  }

  /** Changes it. @throws {WrongCopy} when it is not that one, or has not `size` jobs then. */
  async change(epoch: string, batch: Batch, size: number, manner: Manner): Promise<void> {
    this.#check(await this.#write('epoch', epoch, batch, '', manner), size);
  }

  /** The same, and says that the owner lives, and what it says of itself. */
  async renew(epoch: string, batch: Batch, size: number, manner: Manner): Promise<void> {
    const about = this.#host.owner.describe();
    const written = this.#write('epoch', epoch, batch, about, manner);
    const [there] = await Promise.all([written, this.#enlist(manner)]);
    this.#check(there, size);
  }

  /** Gives up the lease. With no job left, nothing of it stays. */
  async leave(epoch: string, manner: Manner): Promise<void> {
    const { owner } = this.#host;
    const left = await this.#ask(GOODBYE, this.#keys, [epoch, owner.describe()], manner);
    await this.#ask(left === 0 ? UNLIST : SUSPECT, this.#index, [owner.instanceId], manner);
  }

  async #write(
    stage: 'epoch' | 'next',
    epoch: string,
    { records, progress, bare, aside, gone }: Batch,
    about: string,
    manner: Manner,
  ): Promise<number> {
    const counts = [records.length / 2, progress.length / 2, bare.length, aside.length];
    const head = [epoch, stage, this.#batches, this.#host.leaseMs, about, ...counts];
    const args = [...head, ...records, ...progress, ...bare, ...aside, ...gone];
    const there = (await this.#ask(WRITE, this.#keys, args, manner)) as number;
    if (there === -2) throw anotherState();
    this.#batches += 1;
    return there;
  }

  async #enlist(manner: Manner): Promise<void> {
    const { owner, leaseMs } = this.#host;
    await this.#ask(ENLIST, this.#index, [owner.instanceId, leaseMs], manner);
  }

  #check(there: number, size: number): void {
    const { leaseMs } = this.#host;
    if (there < 0)
      throw new WrongCopy(
        `Redis has not heard of this process for its lease of ${leaseMs} ms, or lost its keys; its jobs may have been reported`,
      );
    if (there !== size)
      throw new WrongCopy(
        `Redis holds ${there} of ${size} open jobs; if it evicts keys, set its maxmemory-policy to noeviction`,
      );
  }

  #ask(
    script: string,
    keys: readonly string[],
    args: readonly (string | number)[],
    manner: Manner,
  ): Promise<unknown> {
    return ask(this.#host.line, script, keys, args, manner);
  }
}

function anotherState(): Error {
  return new WrongCopy(
    'Redis has another state of the open jobs than was written last, as after a failover to a replica that was behind',
  );
}

function anotherOne(): Error {
  return failure('somebody else writes jobs under the instance id of this process');
}
