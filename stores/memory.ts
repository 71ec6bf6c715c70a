import type { Envelope } from '../src/envelope.js';
import type { JobStore, StoredJob } from '../src/store.js';

/** A {@link JobStore} in the process's own memory: ends with it. */
export interface MemoryStore extends JobStore {
  /** The records it holds, in the order of their begin. */
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
    put: ({ id, key, type, payload, startedAt }) => void held.set(key, { id, key, type, payload, startedAt }),
    checkpoint(key, progress) {
      const record = held.get(key);
      if (record) held.set(key, { ...record, progress });
    },
    delete: (key) => void held.delete(key),
    claimOrphans: async (): Promise<readonly Envelope[]> => [],
    async markDelivered(envelopeIds) {
      for (const envelopeId of envelopeIds) held.delete(envelopeId.slice(envelopeId.indexOf('/') + 1));
    },
    close: async () => {},
  };
}
