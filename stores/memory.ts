import { partsOf } from '../src/envelope.js';
import type { JobStore, StoredJob } from '../src/store.js';

/** A {@link JobStore} in the process's own memory: ends with it. */
export interface MemoryStore extends JobStore {
  /** What it holds, in the order of their begin. */
  readonly records: readonly StoredJob[];
}

/**
 * Keeps records in a Map. What it holds is gone with the process, so it never has an orphan to give; it is there for
 * tests, and as the shortest example of the contract.
 */
export function memoryStore(): MemoryStore {
  const held = new Map<string, StoredJob>();
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
    close: async () => {},
  };
}
