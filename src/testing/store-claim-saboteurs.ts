import type { JobStore, Orphan, StoredJob } from '../store.js';
import { alone, around, claimTogether } from './store-sabotage.js';
import type { StoreSaboteur } from './store-saboteurs.js';
import { idOf } from './store-trial.js';

/** @internal Those that give out badly. */
export const claimSaboteurs: Readonly<Record<string, StoreSaboteur>> = {
  // Gives its owner what it has itself.
  S08: alone((inner) => {
    const own = new Map<string, StoredJob>();
    let instanceId = '';
    let isClosed = false;
    return around(inner, {
      open(owner) {
        instanceId = owner.instanceId;
        inner.open?.(owner);
      },
      put(job) {
        if (!isClosed) own.set(job.key, job);
        return inner.put(job);
      },
      async claimOrphans(options) {
        const given = [...own.values()].map((job): Orphan => ({ ...job, instanceId, owner: '', tries: 1 }));
        own.clear();
        return [...given, ...(await inner.claimOrphans(options))];
      },
      close() {
        isClosed = true;
        own.clear();
        return inner.close();
      },
    });
  }),
  // Gives the same to all who ask at the same time.
  S09: () => {
    let asked: Promise<readonly Orphan[]> | undefined;
    return (inner) =>
      around(inner, {
        claimOrphans(options) {
          asked ??= inner.claimOrphans(options).finally(() => {
            asked = undefined;
          });
          return asked;
        },
      });
  },
  // Grows impatient with whoever holds something.
  S10: alone((inner) => {
    let inHand: readonly Orphan[] = [];
    let looks = 0;
    const settle = (ids: readonly string[]) => {
      inHand = inHand.filter((orphan) => !ids.includes(idOf(orphan)));
    };
    return around(inner, {
      async claimOrphans(options) {
        const orphans = await inner.claimOrphans(options);
        looks = orphans.length === 0 ? looks + 1 : 0;
        inHand = [...inHand, ...orphans];
        return looks > 3 ? inHand : orphans;
      },
      markDelivered(ids) {
        settle(ids);
        return inner.markDelivered(ids);
      },
      async giveBack(ids, options) {
        settle(ids);
        await inner.giveBack?.(ids, options);
      },
      async setAside(ids) {
        settle(ids);
        await inner.setAside?.(ids);
      },
    });
  }),
  // Remembers by itself what was delivered.
  S11: alone((inner) => {
    const claimed = new Set<string>();
    return around(inner, {
      claimOrphans: noting(inner, claimed),
      markDelivered: (ids) => inner.markDelivered(ids.filter((id) => !claimed.has(id))),
    });
  }),
  // Takes back what it gave, for itself.
  S12: alone((inner) => {
    const inHand = new Map<string, Orphan>();
    let back: readonly Orphan[] = [];
    return around(inner, {
      async claimOrphans(options) {
        const orphans = back.length > 0 ? back : await inner.claimOrphans(options);
        back = [];
        for (const orphan of orphans) inHand.set(idOf(orphan), orphan);
        return orphans;
      },
      async giveBack(ids, { tried, keep }) {
        if (keep) {
          await inner.giveBack?.(ids, { tried, keep });
          return;
        }
        const given = ids.flatMap((id) => inHand.get(id) ?? []);
        back = [...back, ...given.map((orphan) => ({ ...orphan, tries: orphan.tries + (tried ? 1 : 0) }))];
      },
    });
  }),
  // Counts every claim.
  S13: alone((inner) =>
    around(inner, {
      giveBack: async (ids, options) => inner.giveBack?.(ids, options.keep ? options : { tried: true }),
    }),
  ),
  // Brings together again what came together before.
  S14: alone((inner) =>
    around(inner, { claimOrphans: (options) => claimTogether(inner, ({ tries }) => tries === 2, options) }),
  ),
  S15: alone((inner) =>
    around(inner, { claimOrphans: (options) => claimTogether(inner, ({ tries }) => tries > 2, options) }),
  ),
  // Has no place aside for what it claimed.
  S16: alone((inner) => {
    const claimed = new Set<string>();
    return around(inner, {
      claimOrphans: noting(inner, claimed),
      async setAside(ids) {
        await inner.giveBack?.(
          ids.filter((id) => claimed.has(id)),
          { tried: false },
        );
        await inner.setAside?.(ids.filter((id) => !claimed.has(id)));
      },
    });
  }),
  // Takes a checkpoint for the end of a job, when it must hurry.
  S17: alone((inner) => {
    const halfDone = new Set<string>();
    return around(inner, {
      checkpoint(key, progress) {
        halfDone.add(key);
        inner.checkpoint(key, progress);
      },
      close() {
        for (const key of halfDone) inner.delete(key);
        halfDone.clear();
        return inner.close();
      },
    });
  }),
  // Counts what it gives back at close.
  S18: alone((inner) => {
    const inHand = new Set<string>();
    return around(inner, {
      claimOrphans: noting(inner, inHand),
      markDelivered(ids) {
        for (const id of ids) inHand.delete(id);
        return inner.markDelivered(ids);
      },
      async close() {
        await inner.giveBack?.([...inHand], { tried: true });
        inHand.clear();
        await inner.close();
      },
    });
  }),
  // Holds on to what is kept as it is.
  S30: alone((inner) =>
    around(inner, {
      async giveBack(ids, options) {
        if (!options.keep) await inner.giveBack?.(ids, options);
      },
    }),
  ),
  // Gives all it has to whoever asks.
  S31: alone((inner) => around(inner, { claimOrphans: () => inner.claimOrphans() })),
};

/** Claims, and notes the envelope ids of what it gets. */
function noting(inner: JobStore, ids: Set<string>): JobStore['claimOrphans'] {
  return async (options) => {
    const orphans = await inner.claimOrphans(options);
    for (const orphan of orphans) ids.add(idOf(orphan));
    return orphans;
  };
}
