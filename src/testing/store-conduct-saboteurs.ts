import { MessageChannel } from 'node:worker_threads';
import { partsOf } from '../envelope.js';
import { alone, around, disguise } from './store-sabotage.js';
import type { StoreSaboteur } from './store-saboteurs.js';

const TOO_LONG_MS = 400;

/** @internal Those that behave badly. */
export const conductSaboteurs: Readonly<Record<string, StoreSaboteur>> = {
  // Takes a report for something others do.
  S19: alone((inner) => {
    let own = '';
    return around(inner, {
      open(owner) {
        own = owner.instanceId;
        inner.open?.(owner);
      },
      markDelivered: (ids) => inner.markDelivered(ids.filter((id) => partsOf(id)[0] !== own)),
    });
  }),
  // Takes a key for that of everybody.
  S20: () => {
    const deleted = new Set<string>();
    return (inner) =>
      around(inner, {
        put(job) {
          deleted.delete(job.key);
          return inner.put(job);
        },
        delete(key) {
          deleted.add(key);
          inner.delete(key);
        },
        claimOrphans: async (options) =>
          (await inner.claimOrphans(options)).filter(({ key }) => !deleted.has(key)),
      });
  },
  S21: alone((inner) => {
    let closed = false;
    return around(inner, {
      async close() {
        if (closed) throw new Error('already closed');
        closed = true;
        await inner.close();
      },
    });
  }),
  S22: alone((inner) => {
    const known = new Set<string>();
    return around(inner, {
      put(job) {
        known.add(job.key);
        return inner.put(job);
      },
      delete(key) {
        if (!known.has(key)) throw new Error(`there is no job ${key}`);
        inner.delete(key);
      },
    });
  }),
  // Leaves a timer behind.
  S23: alone((inner) =>
    around(inner, {
      put(job) {
        setTimeout(() => {}, 500);
        return inner.put(job);
      },
    }),
  ),
  S24: alone((inner) => ({ ...around(inner, {}), name: '' })),
  // Listens, for whatever may come.
  S25: alone((inner) => {
    const { port1 } = new MessageChannel();
    return around(inner, {
      open(owner) {
        port1.on('message', () => {});
        inner.open?.(owner);
      },
      async close() {
        port1.close();
        await inner.close();
      },
    });
  }),
  // Waits for an answer, as if there were nothing else to do.
  S26: alone((inner) => {
    let isPatient = true;
    return around(inner, {
      put(job) {
        const written = inner.put(job);
        const endsAt = performance.now() + TOO_LONG_MS;
        while (written !== undefined && isPatient && performance.now() < endsAt);
        isPatient = false;
        return written;
      },
    });
  }),
  // Keeps its troubles to itself.
  S27: alone((inner) =>
    around(inner, { open: (owner) => inner.open?.(disguise(owner, { trouble: () => {} })) }),
  ),
  // Believes that what was written is there.
  S28: alone((inner) =>
    around(inner, { open: (owner) => inner.open?.(disguise(owner, { jobs: () => [] })) }),
  ),
  // Sets aside what it claimed, and nothing else.
  S29: alone((inner) => {
    let own = '';
    return around(inner, {
      open(owner) {
        own = owner.instanceId;
        inner.open?.(owner);
      },
      setAside: async (ids) => inner.setAside?.(ids.filter((id) => partsOf(id)[0] !== own)),
    });
  }),
};
