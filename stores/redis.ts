import { partsOf } from '../src/envelope.js';
import type { ClaimOptions, JobStore, Orphan, StoredJob, StoreOwner, StoreOwnership } from '../src/store.js';
import { BorrowedLine } from './redis/borrowed-line.js';
import { Claims } from './redis/claims.js';
import { failure, type Line, type RedisClient, SLOW_MS, startTimer } from './redis/line.js';
import { Mirror } from './redis/mirror.js';
import { Names } from './redis/names.js';
import { checked, type RedisSettings, type RedisStoreOptions } from './redis/options.js';
import { OwnLine } from './redis/own-line.js';

export type { RedisClient, RedisStoreOptions };

/**
 * Keeps open jobs in Redis, where they outlive the whole machine: whoever of the same `prefix` is still there reports what a dead
 * process left, within its lease and a second.
 *
 * ```
 * begin ──▶ memory ──▶ (a turn later) Redis ──▶ job.stored resolves
 * ```
 *
 * `begin` never waits for Redis. While Redis is away, jobs are held in memory as ever, `bus.degraded` is true, and they are written
 * when it is back; nobody is judged dead before everybody had a whole lease to come back as well. What Redis itself loses,
 * a failover say, is written anew by those who live; it should keep keys (`maxmemory-policy noeviction`) and, to survive
 * its own restart together with that of a process, write them to disk (`appendonly yes`). Redis 5 or later, or Valkey.
 *
 * A name (`own`) is owned for a lease, too, which begins anew with each heartbeat. Its owner loses it when Redis has not confirmed it for half
 * of that; the other half is there to end what it stands for. Two owners can only be made by a process that stands still for more
 * than a lease, and goes on then, or by a failover to a replica that had not heard of the last owner.
 * @throws {ShutdownError} `INVALID_OPTION`; `PACKAGE_MISSING` when `ioredis` is not installed.
 */
export function redisStore(options: RedisStoreOptions): JobStore {
  return new RedisStore(checked(options));
}

interface GivingBack {
  readonly tried: boolean;
  /** The try is taken back, and they stay claimed as long as this process lives: it is not given them again. */
  readonly keep?: boolean;
}

interface Parts {
  readonly mirror: Mirror;
  readonly claims: Claims;
  readonly names: Names;
}

class RedisStore implements JobStore {
  readonly name = 'redis';
  readonly durable = true;
  readonly heartbeatMs: number;
  readonly #settings: RedisSettings;
  readonly #line: Line;
  #parts: Parts | undefined;
  #closing: Promise<void> | undefined;
  #ownId = '';

  constructor(settings: RedisSettings) {
    const { place, leaseMs } = settings;
    this.#settings = settings;
    this.#line = 'eval' in place ? new BorrowedLine(place) : new OwnLine(place);
    // A quarter, so that a few may be lost; half a second at most, so that orphans are found soon after their lease.
    this.heartbeatMs = Math.min(leaseMs / 4, 500);
  }

  /** @throws {ShutdownError} `STORE_FAILED` when another bus has it. */
  open(owner: StoreOwner): void {
    const { prefix, leaseMs } = this.#settings;
    const { instanceId } = owner;
    // Both would write into the place of the second one, under the same keys.
    if (this.#parts !== undefined && instanceId !== this.#ownId)
      throw failure(
        'one store object belongs to one bus, and this one has another: call redisStore again for each',
      );
    const line = this.#line;
    const mirror = new Mirror({ line, owner, prefix, leaseMs });
    const mayJudge = () => this.#closing === undefined && mirror.isSteady;
    this.#ownId = instanceId;
    const warn = (text: string) => owner.warn(text);
    const shared = { line, instanceId, prefix, leaseMs, mayJudge };
    const names = new Names({ ...shared, heartbeatMs: this.heartbeatMs, beat: () => mirror.beat() });
    this.#parts = { mirror, names, claims: new Claims({ ...shared, warn }) };
    line.start({
      up: () => mirror.up(),
      down: (error) => mirror.down(error),
      slow: (error) => mirror.slow(error),
    });
  }

  put(job: StoredJob): Promise<void> {
    return this.#open?.mirror.put(job) ?? new Promise(() => {});
  }

  checkpoint(key: string, progress: string): void {
    this.#open?.mirror.checkpoint(key, progress);
  }

  delete(key: string): void {
    this.#open?.mirror.delete(key);
  }

  async heartbeat(): Promise<void> {
    // Many jobs on their way to Redis must not hold up what can run out.
    const renewed = this.#open?.names.renew();
    await this.#open?.mirror.beat();
    await this.#open?.claims.renew();
    await renewed;
  }

  async claimOrphans(options?: ClaimOptions): Promise<readonly Orphan[]> {
    return (await this.#open?.claims.claim(options)) ?? [];
  }

  async markDelivered(envelopeIds: readonly string[]): Promise<void> {
    for (const key of this.#ownAmong(envelopeIds)) this.delete(key);
    await this.#open?.claims.settle(envelopeIds, 'delivered');
  }

  async giveBack(envelopeIds: readonly string[], { tried, keep = false }: GivingBack): Promise<void> {
    const fate = tried ? 'tried' : 'untried';
    await this.#open?.claims.settle(envelopeIds, keep ? 'kept' : fate);
  }

  async setAside(envelopeIds: readonly string[]): Promise<void> {
    for (const key of this.#ownAmong(envelopeIds)) this.#open?.mirror.setAside(key);
    await this.#open?.claims.settle(envelopeIds, 'aside');
  }

  async expire(instanceId: string): Promise<void> {
    if (instanceId !== this.#ownId) await this.#open?.claims.expire(instanceId);
  }

  async own(name: string, signal?: AbortSignal): Promise<StoreOwnership | undefined> {
    if (this.#parts === undefined && this.#closing === undefined) throw failure('redisStore: it is not open');
    return this.#open?.names.take(name, signal);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  get #open(): Parts | undefined {
    return this.#closing === undefined ? this.#parts : undefined;
  }

  /** The keys of our own jobs. */
  #ownAmong(envelopeIds: readonly string[]): readonly string[] {
    return envelopeIds
      .map(partsOf)
      .filter(([instanceId]) => instanceId === this.#ownId)
      .map(([, key]) => key);
  }

  async #close(): Promise<void> {
    if (this.#parts === undefined) return;
    const { mirror, claims, names } = this.#parts;
    await new Promise<void>((resolve) => {
      const end = startTimer(SLOW_MS, true, resolve);
      void Promise.allSettled([names.close(), claims.releaseAll(), mirror.close()]).then(() => {
        end();
        resolve();
      });
    });
    this.#line.close();
  }
}
