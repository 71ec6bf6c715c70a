import { setTimeout as sleep } from 'node:timers/promises';
import { envelopeIdOf } from '../envelope.js';
import type { ClaimOptions, JobStore, Orphan, StoredJob, StoreOwner, StoreOwnership } from '../store.js';

const HEARTBEAT_MS = 2000;
const LOOK_MS = 25;

/** One thing a process does with its store. */
export type StoreStep =
  | { readonly do: 'put'; readonly jobs: readonly StoredJob[] }
  | { readonly do: 'checkpoint'; readonly key: string; readonly progress: string }
  | { readonly do: 'delete'; readonly key: string }
  /** Every notifier took its own report. */
  | { readonly do: 'deliver'; readonly key: string }
  /** The same, without its payload. */
  | { readonly do: 'set aside'; readonly key: string }
  /** What it says of itself from now on. */
  | { readonly do: 'say'; readonly about: string }
  /** Claims orphans of that instance, until it has so many. */
  | { readonly do: 'claim'; readonly instanceId: string; readonly count: number }
  /** What it claimed was refused by the far end. */
  | { readonly do: 'keep' }
  /** Becomes the owner of that name. */
  | { readonly do: 'own'; readonly name: string };

/** All that a process does with its store before it dies. Plain data: it can be sent to another process as JSON. */
export interface StoreWill {
  /** 12 hex digits. */
  readonly instanceId: string;
  /** What it says of itself at first. */
  readonly about: string;
  readonly steps: readonly StoreStep[];
  /** How long a claim may take. */
  readonly patienceMs: number;
}

/**
 * Does what a will says. When it resolves, all of it is safe: the process may be killed.
 * @example
 * ```ts
 * await carryOut(directoryStore(folder), JSON.parse(await text(process.stdin)));
 * process.kill(process.pid, 'SIGKILL');
 * ```
 */
export async function carryOut(
  store: JobStore,
  { instanceId, about, steps, patienceMs }: StoreWill,
): Promise<void> {
  const tenant = new Tenant(store, instanceId, about);
  // Until all is done. From then on, whether the process ends is the store's business.
  const hold = setInterval(() => {}, HEARTBEAT_MS);
  try {
    tenant.open();
    for (const step of steps) await take(tenant, step, patienceMs);
    await store.heartbeat?.();
  } finally {
    clearInterval(hold);
  }
}

async function take(tenant: Tenant, step: StoreStep, patienceMs: number): Promise<void> {
  if (step.do === 'put') await tenant.put(...step.jobs);
  else if (step.do === 'checkpoint') tenant.checkpoint(step.key, step.progress);
  else if (step.do === 'delete') tenant.delete(step.key);
  else if (step.do === 'deliver') await tenant.deliver(step.key);
  else if (step.do === 'set aside') await tenant.setAside(step.key);
  else if (step.do === 'say') tenant.about = step.about;
  else if (step.do === 'claim') await tenant.claim(new Set([step.instanceId]), step.count, patienceMs);
  else if (step.do === 'keep') await tenant.keep();
  else if (step.do === 'own') await tenant.waitToOwn(step.name, patienceMs);
}

/** A process as its store sees it: it opens the store, keeps its heart beating, and knows its open jobs. */
export class Tenant {
  readonly store: JobStore;
  readonly instanceId: string;
  about: string;
  /** What the store said of itself. */
  readonly troubles: (Error | undefined)[] = [];
  /** What it asks for when it claims. */
  wants: ClaimOptions = {};
  /** Everything it ever claimed. */
  readonly claimed: Orphan[] = [];
  readonly owner: StoreOwner;
  readonly #jobs = new Map<string, StoredJob>();
  #heart: NodeJS.Timeout | undefined;

  constructor(store: JobStore, instanceId: string, about: string) {
    this.store = store;
    this.instanceId = instanceId;
    this.about = about;
    this.owner = {
      instanceId,
      describe: () => this.about,
      jobs: () => this.#jobs.values(),
      trouble: (error) => void this.troubles.push(error),
      warn: () => {},
    };
  }

  open(): void {
    this.store.open?.(this.owner);
    const beat = () => void (async () => this.store.heartbeat?.())().catch(() => {});
    this.#heart = setInterval(beat, this.store.heartbeatMs ?? HEARTBEAT_MS);
    this.#heart.unref();
  }

  /** Resolves when all of them are safe. */
  async put(...jobs: readonly StoredJob[]): Promise<void> {
    const written = jobs.map((job) => {
      this.#jobs.set(job.key, job);
      return this.store.put(job);
    });
    await Promise.all(written);
  }

  checkpoint(key: string, progress: string): void {
    const job = this.#jobs.get(key);
    if (job !== undefined) this.#jobs.set(key, { ...job, progress });
    this.store.checkpoint(key, progress);
  }

  delete(key: string): void {
    this.#jobs.delete(key);
    this.store.delete(key);
  }

  async deliver(key: string): Promise<void> {
    this.#jobs.delete(key);
    await this.store.markDelivered([envelopeIdOf(this.instanceId, key)]);
  }

  async setAside(key: string): Promise<void> {
    this.#jobs.delete(key);
    await this.store.setAside?.([envelopeIdOf(this.instanceId, key)]);
  }

  /** Claims until there are `count` of these instances, or `patienceMs` have passed. Those of others are taken and left out. */
  async claim(
    instanceIds: ReadonlySet<string>,
    count: number,
    patienceMs: number,
  ): Promise<readonly Orphan[]> {
    const found: Orphan[] = [];
    const endsAt = performance.now() + patienceMs;
    while (found.length < count && performance.now() < endsAt) {
      const orphans = await this.look();
      found.push(...orphans.filter(({ instanceId }) => instanceIds.has(instanceId)));
      if (orphans.length === 0) await sleep(LOOK_MS);
    }
    return found;
  }

  /** Goes on holding what it claimed, untried. */
  async keep(): Promise<void> {
    const ids = this.claimed.map(({ instanceId, key }) => envelopeIdOf(instanceId, key));
    await this.store.giveBack?.(ids, { tried: false, keep: true });
  }

  /** One claim. One that fails finds nothing: the next one may. */
  async look(): Promise<readonly Orphan[]> {
    const orphans = await this.store.claimOrphans(this.wants).catch((): readonly Orphan[] => []);
    this.claimed.push(...orphans);
    return orphans;
  }

  /** Asks until it owns the name, or `patienceMs` have passed. */
  async waitToOwn(name: string, patienceMs: number): Promise<StoreOwnership | undefined> {
    const endsAt = performance.now() + patienceMs;
    for (;;) {
      const ownership = await this.store.own?.(name);
      if (ownership !== undefined || performance.now() > endsAt) return ownership;
      await sleep(LOOK_MS);
    }
  }

  /** Its heart stops, and nothing else. */
  fallSilent(): void {
    clearInterval(this.#heart);
  }

  async close(): Promise<void> {
    this.fallSilent();
    await this.store.close();
  }
}
