import { alone, around, disguise } from './store-sabotage.js';
import type { StoreSaboteur } from './store-saboteurs.js';

/** @internal Those that keep badly. */
export const keepingSaboteurs: Readonly<Record<string, StoreSaboteur>> = {
  // Loses what is not ASCII.
  S01: alone((inner) =>
    around(inner, {
      put: (job) => inner.put({ ...job, record: job.record.replace(/[^\x20-\x7e]/g, '?') }),
    }),
  ),
  // Has room for so much.
  S02: alone((inner) =>
    around(inner, { put: (job) => inner.put({ ...job, record: job.record.slice(0, 65_536) }) }),
  ),
  // Takes the first checkpoint for the last one.
  S03: alone((inner) => {
    const seen = new Set<string>();
    return around(inner, {
      checkpoint(key, progress) {
        if (!seen.has(key)) inner.checkpoint(key, progress);
        seen.add(key);
      },
    });
  }),
  // Deletes nothing that has a checkpoint.
  S04: alone((inner) => {
    const seen = new Set<string>();
    return around(inner, {
      checkpoint(key, progress) {
        seen.add(key);
        inner.checkpoint(key, progress);
      },
      delete(key) {
        if (!seen.has(key)) inner.delete(key);
      },
    });
  }),
  // Knows that job already.
  S05: alone((inner) => {
    const seen = new Set<string>();
    return around(inner, {
      put(job) {
        if (seen.has(job.key)) return undefined;
        seen.add(job.key);
        return inner.put(job);
      },
    });
  }),
  // Asks its owner only once.
  S06: alone((inner) =>
    around(inner, {
      open(owner) {
        const about = owner.describe();
        inner.open?.(disguise(owner, { describe: () => about }));
      },
    }),
  ),
  // Has room for so many.
  S07: alone((inner) => {
    let count = 0;
    return around(inner, {
      put(job) {
        count += 1;
        return count <= 5000 ? inner.put(job) : undefined;
      },
    });
  }),
};
