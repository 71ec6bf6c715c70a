import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../errors.js';
import type { JobStore } from '../store.js';
import { within } from './notifier-trial.js';
import { countTimersLeft } from './ref-timers.js';
import type { StoreCase } from './store-conformance.js';
import { Tenant } from './store-tenant.js';
import { job, jobs, keysOf, putting } from './store-trial.js';

/** For what should come back at once, on a machine that has other things to do. */
const AT_ONCE_MS = 200;
/** For what may wait for its place, a little. */
const SOON_MS = 4000;

/** How a store comes and goes, and what it does in need. */
export const conductCases: readonly StoreCase[] = [
  {
    id: 'S19',
    title: 'a report of one’s own that was delivered leaves no orphan, and unknown keys make none',
    needs: 'abandon',
    run: async (trial) => {
      const survivor = await trial.tenant();
      const dead = await trial.abandon(
        putting(job('reported'), job('open')),
        { do: 'checkpoint', key: 'never put', progress: 'half' },
        { do: 'deliver', key: 'reported' },
      );
      const found = await trial.claim(survivor, [dead], 1);
      const more = await trial.claimUntilNews(survivor, [dead]);
      assert.deepEqual(keysOf([...found, ...more]), ['open']);
    },
  },
  {
    id: 'S20',
    title: 'jobs are its own: those of another instance under the same keys are left alone',
    needs: 'abandon',
    run: async (trial) => {
      const [survivor, other] = [await trial.tenant(), await trial.tenant()];
      const dead = await trial.abandon(putting(job('a'), job('b')));
      await other.put(job('a', 'of another one'), job('b', 'of another one'));
      other.delete('a');
      await other.deliver('b');
      await other.store.heartbeat?.();
      const found = await trial.claim(survivor, [dead], 2);
      assert.deepEqual(
        found.map(({ record }) => record).sort(),
        ['record of a', 'record of b'],
        'keep the jobs of each instance apart',
      );
    },
  },
  {
    id: 'S21',
    title: 'close may be called twice, and what comes after it does no harm',
    run: async (trial) => {
      const tenant = await trial.tenant();
      await tenant.put(job('a'));
      for (const what of ['close', 'a second close']) await mustSettle(what, () => tenant.store.close());
      const { store } = tenant;
      mustNotThrow('put after close', () => void store.put(job('late')));
      mustNotThrow('checkpoint after close', () => store.checkpoint('a', 'late'));
      mustNotThrow('delete after close', () => store.delete('a'));
      await mustSettle('heartbeat after close', async () => store.heartbeat?.());
      await mustSettle('markDelivered after close', () => tenant.deliver('a'));
      assert.deepEqual(await store.claimOrphans(), [], 'a closed store gives out nothing');
      assert.equal(await store.own?.('a name'), undefined, 'a closed store makes nobody an owner');
    },
  },
  {
    id: 'S22',
    title: 'unknown keys and ids are ignored',
    run: async (trial) => {
      const { store } = await trial.tenant();
      const ids = ['0123456789ab/unknown', 'no id at all', ''];
      mustNotThrow('checkpoint of an unknown key', () => store.checkpoint('unknown', 'half'));
      mustNotThrow('delete of an unknown key', () => store.delete('unknown'));
      await mustSettle('markDelivered of unknown ids', () => store.markDelivered(ids));
      await mustSettle('giveBack of unknown ids', async () => store.giveBack?.(ids, { tried: true }));
      await mustSettle('setAside of unknown ids', async () => store.setAside?.(ids));
    },
  },
  {
    id: 'S23',
    title: 'no timer keeps the process alive once all is said',
    run: async (trial) => {
      const store = await trial.store();
      try {
        const left = await within(SOON_MS, 'the store', () => countTimersLeft(() => useAll(store)));
        assert.equal(left, 0, `${left} timers keep the process alive; clear or unref them`);
      } finally {
        await store.close();
      }
    },
  },
  {
    id: 'S24',
    title: 'it has a name, says whether it is durable, and wants its heartbeats in time',
    run: async (trial) => {
      const { name, durable, heartbeatMs = 1 } = await trial.store();
      assert.ok(typeof name === 'string' && name !== '', 'name is empty; logs show it');
      assert.equal(typeof durable, 'boolean');
      assert.ok(heartbeatMs >= 1 && heartbeatMs < 2 ** 31, `heartbeatMs is ${heartbeatMs}`);
    },
  },
  {
    id: 'S25',
    title: 'a process that has nothing else to do ends by itself',
    needs: 'leave',
    run: (trial) => trial.leave(putting(...jobs(3)), { do: 'delete', key: 'job 1' }),
  },
  {
    id: 'S26',
    title: 'a place that does not answer holds nothing up: put returns at once, all else soon',
    needs: 'hanging',
    run: async (trial) => {
      const tenant = trial.moveIn(await trial.hanging());
      const startedMs = performance.now();
      mustNotThrow('put', () => void ignore(tenant.put(...jobs(100))));
      const tookMs = performance.now() - startedMs;
      assert.ok(tookMs < AT_ONCE_MS, `put held its caller up for ${Math.round(tookMs)} ms; return a promise`);
      await mustSettle('heartbeat', () => ignore(tenant.store.heartbeat?.()));
      await mustSettle('claimOrphans', () => ignore(tenant.store.claimOrphans()));
      await mustSettle('own', () => ignore(tenant.store.own?.('a name')));
      await mustSettle('close', () => ignore(tenant.store.close()));
    },
  },
  {
    id: 'S27',
    title: 'a place that does not answer is told of',
    needs: 'hanging',
    run: async (trial) => {
      const tenant = trial.moveIn(await trial.hanging());
      let answer = 'none';
      tenant.put(job('a')).then(
        () => {
          answer = 'kept';
        },
        () => {
          answer = 'refused';
        },
      );
      const endsAt = performance.now() + SOON_MS;
      const isTold = () => answer !== 'none' || tenant.troubles.some((error) => error !== undefined);
      while (!isTold() && performance.now() < endsAt) await sleep(25);
      assert.notEqual(answer, 'kept', 'put said that the job is safe, and nobody has it');
      assert.ok(isTold(), 'say so by owner.trouble(error), or let put fail');
    },
  },
  {
    id: 'S28',
    title: 'a place that lost everything is given all open jobs again',
    needs: 'wipe',
    run: async (trial) => {
      const tenant = await trial.tenant();
      await tenant.put(job('a'), job('b'));
      await trial.wipe();
      for (let beat = 0; beat < 3; beat += 1) await tenant.store.heartbeat?.();
      await tenant.close();
      const survivor = await trial.tenant();
      await trial.claim(survivor, [tenant.instanceId], 2);
    },
  },
  {
    id: 'S29',
    title: 'a job of one’s own that was set aside leaves no orphan',
    needs: 'abandon',
    uses: 'setAside',
    run: async (trial) => {
      const survivor = await trial.tenant();
      const dead = await trial.abandon(putting(job('too large'), job('open')), {
        do: 'set aside',
        key: 'too large',
      });
      const found = await trial.claim(survivor, [dead], 1);
      const more = await trial.claimUntilNews(survivor, [dead]);
      assert.deepEqual(keysOf([...found, ...more]), ['open'], 'a job that was set aside came back');
    },
  },
];

/** Everything a store is there for, except its close. */
async function useAll(store: JobStore): Promise<void> {
  const tenant = new Tenant(store, 'c0ffee123456', 'a busy process');
  store.open?.(tenant.owner);
  await tenant.put(job('a'), job('b'));
  tenant.checkpoint('a', 'half');
  tenant.delete('a');
  await tenant.deliver('b');
  await store.heartbeat?.();
  await store.claimOrphans();
  // Whether its owner lives may not be known so soon.
  const ownership = await store.own?.('a busy name', AbortSignal.timeout(50));
  await ownership?.release();
  // A timer of a moment may fire by itself.
  await sleep(50);
}

function mustNotThrow(what: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    assert.fail(`${what} threw: ${messageOf(error)}`);
  }
}

async function mustSettle(what: string, work: () => Promise<void> | undefined): Promise<void> {
  try {
    await within(SOON_MS, what, async () => work());
  } catch (error) {
    assert.fail(`${what} failed: ${messageOf(error)}`);
  }
}

/** Whether it works is not the question. */
async function ignore(work: unknown): Promise<void> {
  await Promise.resolve(work).catch(() => {});
}
