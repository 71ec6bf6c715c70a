import { it } from 'vitest';
import { type StoreHarness, type StoreWill, storeConformance } from '../../src/testing/index.js';
import { start } from '../process/child.js';

/** What the fixture makes its store of. */
export interface StorePlace {
  readonly kind: 'lmdb' | 'redis' | 'module';
  readonly options: object;
  /** Of a cluster, for a client that knows it. */
  readonly nodes?: readonly object[];
}

/** Other processes that use a store: one that is killed, one that has nothing else to do. */
export function otherProcesses(
  place: StorePlace,
  env: NodeJS.ProcessEnv = {},
): Required<Pick<StoreHarness, 'abandon' | 'leave'>> {
  const run = (will: StoreWill, isKilled: boolean) => {
    const child = start('store-will.js', { env });
    child.process.stdin?.end(JSON.stringify({ ...place, will, isKilled }));
    return child.ended;
  };
  return {
    async abandon(will) {
      const { signal, stderr } = await run(will, true);
      if (signal !== 'SIGKILL')
        throw new Error(`the process was to be killed, and ended by itself: ${stderr}`);
    },
    async leave(will) {
      const { code, stdout, stderr } = await run(will, false);
      if (code !== 0 || !stdout.includes('done')) throw new Error(`the process failed: ${stderr}`);
    },
  };
}

/** The whole suite, each case with a place of its own, so that some can run at the same time. */
export function itConforms(makeHarness: () => StoreHarness): void {
  for (const { id, title } of storeConformance(makeHarness())) {
    const run = () =>
      storeConformance(makeHarness())
        .find((one) => one.id === id)
        ?.run();
    it.concurrent(`${id}: ${title}`, run, 90_000);
  }
}
