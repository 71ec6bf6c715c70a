import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { envelopeIdOf } from '../envelope.js';
import type { JobStore, Orphan, StoredJob } from '../store.js';
import { within } from './notifier-trial.js';
import type { StoreHarness } from './store-conformance.js';
import { type StoreStep, Tenant } from './store-tenant.js';

const PATIENCE_MS = 5000;

/** A harness made convenient: what a case opened is closed at its end, and what it claimed is gone for the next one. */
export class Trial {
  readonly #harness: StoreHarness;
  readonly #tenants: Tenant[] = [];

  constructor(harness: StoreHarness) {
    this.#harness = harness;
  }

  get patienceMs(): number {
    return this.#harness.patienceMs ?? PATIENCE_MS;
  }

  /** A living process with an open store. */
  async tenant(about = 'a living process'): Promise<Tenant> {
    return this.moveIn(await this.#harness.store(), about);
  }

  /** A living process with that store. */
  moveIn(store: JobStore, about = 'a living process'): Tenant {
    const tenant = new Tenant(store, newId(), about);
    this.#tenants.push(tenant);
    tenant.open();
    return tenant;
  }

  store(): Promise<JobStore> {
    return this.#harness.store();
  }

  hanging(): Promise<JobStore> {
    return (this.#harness.hanging as () => Promise<JobStore>)();
  }

  wipe(): Promise<void> {
    return (this.#harness.wipe as () => Promise<void>)();
  }

  /** A process that does this and is killed. @returns its instance id. */
  async abandon(...steps: readonly StoreStep[]): Promise<string> {
    const instanceId = newId();
    const will = { instanceId, about: 'a process that was killed', steps, patienceMs: this.patienceMs };
    await this.#harness.abandon?.(will);
    return instanceId;
  }

  /** A process that does this and has nothing else to do. */
  async leave(...steps: readonly StoreStep[]): Promise<void> {
    const will = { instanceId: newId(), about: 'an idle process', steps, patienceMs: this.patienceMs };
    await this.#harness.leave?.(will);
  }

  /** Exactly so many orphans of these instances; fails when they do not come. */
  async claim(tenant: Tenant, instanceIds: readonly string[], count: number): Promise<readonly Orphan[]> {
    const found = await tenant.claim(new Set(instanceIds), count, this.patienceMs);
    assert.equal(
      found.length,
      count,
      `${found.length} of ${count} orphans were given out in ${this.patienceMs} ms`,
    );
    return found;
  }

  /**
   * What is given out of these instances until the job of a process that is killed now has come, and nothing follows it. What belongs
   * to the living, or is settled, must not be among it.
   */
  async claimUntilNews(tenant: Tenant, instanceIds: readonly string[]): Promise<readonly Orphan[]> {
    const news = await this.abandon(putting(job('news')));
    const before = tenant.claimed.length;
    await this.claim(tenant, [news], 1);
    for (let portion = await tenant.look(); portion.length > 0; portion = await tenant.look());
    return tenant.claimed.slice(before).filter(({ instanceId }) => instanceIds.includes(instanceId));
  }

  async end(): Promise<void> {
    for (const tenant of this.#tenants) {
      // Whether this works is the business of other cases.
      await within(this.patienceMs, 'clearing up', async () => {
        if (tenant.claimed.length > 0) await tenant.store.markDelivered(tenant.claimed.map(idOf));
        await tenant.close();
      }).catch(() => {});
    }
  }
}

/** Runs a case, and clears up after it. */
export async function withTrial(harness: StoreHarness, run: (trial: Trial) => Promise<void>): Promise<void> {
  const trial = new Trial(harness);
  try {
    await run(trial);
  } finally {
    await trial.end();
  }
}

/** A job as a store sees it. */
export function job(key: string, record = `record of ${key}`): StoredJob {
  return { key, record };
}

/** `count` of them. */
export function jobs(count: number): readonly StoredJob[] {
  return Array.from({ length: count }, (_, index) => job(`job ${index}`));
}

/** The step that begins them. */
export function putting(...list: readonly StoredJob[]): StoreStep {
  return { do: 'put', jobs: list };
}

export function idOf({ instanceId, key }: Pick<Orphan, 'instanceId' | 'key'>): string {
  return envelopeIdOf(instanceId, key);
}

/** Their keys, in order. */
export function keysOf(orphans: readonly Orphan[]): readonly string[] {
  return orphans.map(({ key }) => key).sort();
}

/** One that no case had before. */
export function newName(): string {
  return `a name / ${newId()}`;
}

function newId(): string {
  return randomBytes(6).toString('hex');
}
