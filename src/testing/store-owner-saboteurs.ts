import type { JobStore, StoreOwnership } from '../store.js';
import { alone, around, aroundOwnership } from './store-sabotage.js';
import type { StoreSaboteur } from './store-saboteurs.js';

/** A heart that was not heard for so long is taken for one that has stopped. */
const SILENCE_MS = 300;

/** @internal Those that make owners badly. */
export const ownerSaboteurs: Readonly<Record<string, StoreSaboteur>> = {
  // Gives what was never owned to all who ask at the same time.
  S32: () => {
    const owned = new Set<string>();
    return togetherFor((name) => !owned.has(name), owned);
  },
  // Lets nobody have what another one released.
  S33: () => {
    const keepers = new Map<string, JobStore>();
    return (inner) =>
      owning(inner, {
        isRefused: (name) => keepers.has(name) && keepers.get(name) !== inner,
        released: (name) => keepers.set(name, inner),
      });
  },
  // Releases a name, whoever has it.
  S34: alone((inner) => {
    const present = new Map<string, StoreOwnership>();
    return around(inner, {
      async own(name, signal) {
        const ownership = await inner.own?.(name, signal);
        if (ownership === undefined) return undefined;
        present.set(name, ownership);
        return aroundOwnership(ownership, { release: async () => present.get(name)?.release() });
      },
    });
  }),
  // Waits for the dead to release what they owned.
  S35: () => {
    const owned = new Set<string>();
    return (inner) =>
      owning(inner, {
        isRefused: (name) => owned.has(name),
        given: (name) => owned.add(name),
        released: (name) => owned.delete(name),
        left: (name) => owned.delete(name),
      });
  },
  // Gives what a dead one owned to all who ask at the same time.
  S36: () => {
    const owned = new Set<string>();
    return togetherFor((name) => owned.has(name), owned);
  },
  // Goes without giving up what it owns.
  S37: () => {
    const left = new Set<string>();
    return (inner) => owning(inner, { isRefused: (name) => left.has(name), left: (name) => left.add(name) });
  },
  // Thinks that whoever releases something knows it.
  S38: alone((inner) =>
    around(inner, {
      async own(name, signal) {
        const ownership = await inner.own?.(name, signal);
        if (ownership === undefined) return undefined;
        const over = new AbortController();
        let isReleased = false;
        ownership.signal.addEventListener('abort', () => isReleased || over.abort());
        return aroundOwnership(ownership, {
          signal: over.signal,
          release() {
            isReleased = true;
            return ownership.release();
          },
        });
      },
    }),
  ),
  // Takes whoever is silent for dead, and does not tell it.
  S39: () => {
    const beats = new Map<JobStore, number>();
    const owners = new Map<string, JobStore>();
    return (inner) =>
      around(inner, {
        heartbeat() {
          beats.set(inner, performance.now());
          return inner.heartbeat?.();
        },
        async own(name, signal) {
          const ownership = await inner.own?.(name, signal);
          const owner = owners.get(name);
          if (ownership !== undefined) {
            owners.set(name, inner);
            beats.set(inner, performance.now());
          } else if (owner !== undefined && performance.now() - (beats.get(owner) ?? 0) > SILENCE_MS)
            return { signal: new AbortController().signal, release: async () => {} };
          return ownership;
        },
      });
  },
  // Does not say who had it before.
  S40: alone((inner) =>
    around(inner, {
      async own(name, signal) {
        const ownership = await inner.own?.(name, signal);
        return ownership && aroundOwnership(ownership, { deadMs: undefined });
      },
    }),
  ),
};

interface OwningChanges {
  /** Nobody becomes the owner of it. */
  isRefused?(name: string): boolean;
  given?(name: string): unknown;
  released?(name: string): unknown;
  /** The store was closed with it. */
  left?(name: string): unknown;
}

/** The same store, which is told what becomes of names. */
function owning(inner: JobStore, { isRefused, given, released, left }: OwningChanges): JobStore {
  const names = new Set<string>();
  return around(inner, {
    async own(name, signal) {
      const ownership = isRefused?.(name) ? undefined : await inner.own?.(name, signal);
      if (ownership === undefined) return undefined;
      names.add(name);
      given?.(name);
      return aroundOwnership(ownership, {
        async release() {
          if (names.delete(name)) released?.(name);
          await ownership.release();
        },
      });
    },
    async close() {
      for (const name of names) left?.(name);
      names.clear();
      await inner.close();
    },
  });
}

/** Stores that give one answer to all who ask for such a name at the same time, and note who is owned. */
function togetherFor(isSuch: (name: string) => boolean, owned: Set<string>): (inner: JobStore) => JobStore {
  const asked = new Map<string, Promise<StoreOwnership | undefined>>();
  return (inner) =>
    around(inner, {
      async own(name, signal) {
        const shared = isSuch(name) ? asked.get(name) : undefined;
        const answer = shared ?? Promise.resolve(inner.own?.(name, signal));
        asked.set(name, answer);
        const ownership = await answer;
        asked.delete(name);
        if (ownership !== undefined) owned.add(name);
        return ownership;
      },
    });
}
