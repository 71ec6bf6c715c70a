import { partsOf } from '../src/envelope.js';
import type { JobStore, StoredJob, StoreOwnership } from '../src/store.js';

/** A {@link JobStore} in the process's own memory: ends with it. */
export interface MemoryStore extends JobStore {
  /** What it holds, in the order of their begin. */
  readonly records: readonly StoredJob[];
}

// One list a process, even when two copies of the package are loaded.
const OWNED = Symbol.for('shutdown-bus.owned');
const shared = globalThis as { [OWNED]?: Map<string, StoreOwnership> };

/**
 * Keeps records in a Map. What it holds is gone with the process, so it never has an orphan to give; it is there for
 * tests, and as the shortest example of the contract. A name has one owner among all memory stores of the process.
 */
export function memoryStore(): MemoryStore {
  const held = new Map<string, StoredJob>();
  shared[OWNED] ??= new Map();
  const owned = shared[OWNED];
  const ownerships = new Set<StoreOwnership>();
  let closed = false;
  return {
    name: 'memory',
    durable: false,
    get records() {
      return [...held.values()];
    },
    put: ({ key, record, progress }) => void held.set(key, { key, record, progress }),
    checkpoint(key, progress) {
      const job = held.get(key);
      if (job) held.set(key, { ...job, progress });
    },
    delete: (key) => void held.delete(key),
    claimOrphans: async () => [],
    async markDelivered(envelopeIds) {
      for (const envelopeId of envelopeIds) held.delete(partsOf(envelopeId)[1]);
    },
    async own(name) {
      if (closed || owned.has(name)) return undefined;
      const over = new AbortController();
      const ownership: StoreOwnership = {
        signal: over.signal,
        async release() {
          if (!ownerships.delete(ownership)) return;
          owned.delete(name);
          over.abort();
        },
      };
      owned.set(name, ownership);
      ownerships.add(ownership);
      return ownership;
    },
    async close() {
      closed = true;
      for (const ownership of ownerships) await ownership.release();
    },
  };
}
