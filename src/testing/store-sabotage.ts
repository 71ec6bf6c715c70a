import type { ClaimOptions, JobStore, Orphan, StoreOwner, StoreOwnership } from '../store.js';
import type { StoreSaboteur } from './store-saboteurs.js';

/** A saboteur whose stores know nothing of each other. */
export function alone(sabotage: (inner: JobStore) => JobStore): StoreSaboteur {
  return () => sabotage;
}

/** The same store with a few things done differently. */
export function around(inner: JobStore, changed: Partial<JobStore>): JobStore {
  const { name, durable, heartbeatMs } = inner;
  return {
    name,
    durable,
    ...(heartbeatMs !== undefined && { heartbeatMs }),
    open: (owner) => inner.open?.(owner),
    put: (job) => inner.put(job),
    checkpoint: (key, progress) => inner.checkpoint(key, progress),
    delete: (key) => inner.delete(key),
    heartbeat: () => inner.heartbeat?.(),
    claimOrphans: (options) => inner.claimOrphans(options),
    markDelivered: (ids) => inner.markDelivered(ids),
    giveBack: async (ids, options) => inner.giveBack?.(ids, options),
    setAside: async (ids) => inner.setAside?.(ids),
    expire: async (instanceId) => inner.expire?.(instanceId),
    own: async (name, signal) => inner.own?.(name, signal),
    close: () => inner.close(),
    ...changed,
  };
}

/** The same ownership with a few things done differently. */
export function aroundOwnership(inner: StoreOwnership, changed: Partial<StoreOwnership>): StoreOwnership {
  return { signal: inner.signal, deadMs: inner.deadMs, release: () => inner.release(), ...changed };
}

/** The same owner with a few things said differently. */
export function disguise(owner: StoreOwner, changed: Partial<StoreOwner>): StoreOwner {
  return {
    instanceId: owner.instanceId,
    describe: () => owner.describe(),
    jobs: () => owner.jobs(),
    trouble: (error) => owner.trouble(error),
    warn: (line) => owner.warn(line),
    ...changed,
  };
}

/** Claims until there is no more of that kind, and hands it out together. */
export async function claimTogether(
  inner: JobStore,
  isOfKind: (orphan: Orphan) => boolean,
  options?: ClaimOptions,
): Promise<readonly Orphan[]> {
  const all = [...(await inner.claimOrphans(options))];
  for (let last = all; last.length > 0 && all.every(isOfKind); ) {
    last = [...(await inner.claimOrphans(options))];
    all.push(...last);
  }
  return all;
}
