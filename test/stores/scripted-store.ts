import { partsOf } from '../../src/envelope.js';
import type { JobStore, Orphan, StoredJob, StoreOwner } from '../../src/index.js';

/** A durable store in memory that fails on demand, and has orphans to give. */
export interface ScriptedStore extends JobStore {
  readonly held: Map<string, StoredJob>;
  /** Envelope ids. */
  readonly delivered: string[];
  readonly given: { readonly ids: readonly string[]; readonly tried: boolean; readonly keep?: boolean }[];
  readonly aside: string[];
  readonly calls: string[];
  owner: StoreOwner | undefined;
  /** The next claims, one after the other. */
  readonly claims: Orphan[][];
  /** What every call throws, while there is something. */
  failure: Error | undefined;
}

export function scriptedStore(): ScriptedStore {
  const held = new Map<string, StoredJob>();
  const store: ScriptedStore = {
    name: 'scripted',
    durable: true,
    heartbeatMs: 1000,
    held,
    delivered: [],
    given: [],
    aside: [],
    calls: [],
    owner: undefined,
    claims: [],
    failure: undefined,
    open(owner) {
      call('open');
      store.owner = owner;
    },
    put(job) {
      call(`put ${job.key}`);
      held.set(job.key, job);
    },
    checkpoint(key, progress) {
      call(`checkpoint ${key}`);
      const job = held.get(key);
      if (job) held.set(key, { ...job, progress });
    },
    delete(key) {
      call(`delete ${key}`);
      held.delete(key);
    },
    heartbeat: () => call('heartbeat'),
    async claimOrphans() {
      call('claim');
      return store.claims.shift() ?? [];
    },
    async markDelivered(ids) {
      call('delivered');
      store.delivered.push(...ids);
      for (const id of ids) held.delete(partsOf(id)[1]);
    },
    async giveBack(ids, options) {
      call('give back');
      store.given.push({ ids, ...options });
    },
    async setAside(ids) {
      call('set aside');
      store.aside.push(...ids);
    },
    close: async () => call('close'),
  };
  function call(what: string): void {
    store.calls.push(what);
    if (store.failure) throw store.failure;
  }
  return store;
}

/** What a dead process left behind. */
export function orphan(key: string, change: Partial<Orphan> = {}): Orphan {
  const record = {
    v: 1,
    id: key,
    type: 'render',
    startedAt: '2029-12-31T23:59:00.000Z',
    value: { page: 7 },
  };
  const owner = {
    service: 'orders',
    host: 'web-1',
    pid: 4711,
    seenAt: '2029-12-31T23:59:58.000Z',
    rssBytes: 498 * 2 ** 20,
  };
  return {
    instanceId: '0123456789ab',
    key,
    record: JSON.stringify(record),
    progress: undefined,
    owner: JSON.stringify(owner),
    tries: 1,
    ...change,
  };
}
