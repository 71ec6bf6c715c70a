import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * How many timers begun in the asynchronous flow of `work` still keep the process alive, two turns of the event loop
 * after it settled: neither fired nor cleared nor unref'd. Timers of a test runner, or of a far end in the same
 * process, do not count: that is what `process.getActiveResourcesInfo` could not tell.
 */
export async function countTimersLeft(work: () => Promise<void>): Promise<number> {
  const flow = new AsyncLocalStorage<true>();
  const timers = new Map<number, NodeJS.Timeout>();
  const hook = createHook({
    init(asyncId, type, _triggerAsyncId, resource) {
      if (type === 'Timeout' && flow.getStore()) timers.set(asyncId, resource as NodeJS.Timeout);
    },
    // Told of timers that fired or were cleared, a turn later; their hasRef() stays true.
    destroy(asyncId) {
      timers.delete(asyncId);
    },
  });
  hook.enable();
  try {
    await flow.run(true, work);
    await nextTurn();
    await nextTurn();
    return [...timers.values()].filter((timer) => timer.hasRef()).length;
  } finally {
    hook.disable();
  }
}
