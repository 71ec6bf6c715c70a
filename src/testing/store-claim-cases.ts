import assert from 'node:assert/strict';
import type { Orphan } from '../store.js';
import type { StoreCase } from './store-conformance.js';
import { idOf, job, jobs, keysOf, putting } from './store-trial.js';

const SEVERAL = 100;

/** Who gets what others left behind, and how often. */
export const claimCases: readonly StoreCase[] = [
  {
    id: 'S08',
    title: 'jobs of the living are no orphans, neither for others nor for their owner',
    needs: 'abandon',
    run: async (trial) => {
      const [survivor, living] = [await trial.tenant(), await trial.tenant()];
      await living.put(job('under way'));
      assert.deepEqual(
        await trial.claimUntilNews(survivor, [living.instanceId]),
        [],
        'a job of a living process was given out; its owner must be gone first',
      );
      assert.deepEqual(
        (await living.look()).filter(({ instanceId }) => instanceId === living.instanceId),
        [],
        'a process was given a job of its own',
      );
    },
  },
  {
    id: 'S09',
    title: 'of several who claim at the same time, one gets an orphan',
    needs: 'abandon',
    run: async (trial) => {
      const survivors = [await trial.tenant(), await trial.tenant(), await trial.tenant()];
      const dead: string[] = [];
      for (let index = 0; index < 3; index += 1) dead.push(await trial.abandon(putting(...jobs(SEVERAL))));
      const found: Orphan[] = [];
      const endsAt = performance.now() + trial.patienceMs;
      while (found.length < 3 * SEVERAL && performance.now() < endsAt) {
        const portions = await Promise.all(survivors.map((survivor) => survivor.claim(new Set(dead), 1, 50)));
        found.push(...portions.flat());
      }
      const ids = new Set(found.map(idOf));
      assert.equal(found.length, ids.size, 'an orphan was given to two claimers; claim it in one step');
      assert.equal(ids.size, 3 * SEVERAL, 'not all orphans were given out');
    },
  },
  {
    id: 'S10',
    title: 'what is in somebody’s hand is not given out again',
    needs: 'abandon',
    run: async (trial) => {
      const [first, second] = [await trial.tenant(), await trial.tenant()];
      const dead = await trial.abandon(putting(job('a'), job('b')));
      await trial.claim(first, [dead], 2);
      for (const tenant of [first, second]) {
        const again = [...(await trial.claimUntilNews(tenant, [dead]))];
        for (let look = 0; look < 5; look += 1)
          again.push(...(await tenant.look()).filter(({ instanceId }) => instanceId === dead));
        assert.deepEqual(keysOf(again), [], 'a claimed job was given out again while its claimer lives');
      }
    },
  },
  {
    id: 'S11',
    title: 'what was delivered is gone for good, and the rest is not',
    needs: 'abandon',
    run: async (trial) => {
      const first = await trial.tenant();
      const dead = await trial.abandon(putting(job('a'), job('b'), job('c')));
      const found = await trial.claim(first, [dead], 3);
      await first.store.markDelivered(found.filter(({ key }) => key !== 'c').map(idOf));
      await first.close();
      const second = await trial.tenant();
      const left = await trial.claim(second, [dead], 1);
      const more = await trial.claimUntilNews(second, [dead]);
      assert.deepEqual(keysOf([...left, ...more]), ['c'], 'a delivered job came back');
    },
  },
  {
    id: 'S12',
    title: 'what was given back is given out again, to anybody',
    needs: 'abandon',
    uses: 'giveBack',
    run: async (trial) => {
      const [first, second] = [await trial.tenant(), await trial.tenant()];
      const dead = await trial.abandon(putting(job('a'), job('b')));
      const found = await trial.claim(first, [dead], 2);
      await first.store.giveBack?.(found.map(idOf), { tried: false });
      await trial.claim(second, [dead], 2);
    },
  },
  {
    id: 'S13',
    title: 'a claim counts as a try, unless it is given back as none',
    needs: 'abandon',
    uses: 'giveBack',
    run: async (trial) => {
      const survivor = await trial.tenant();
      const dead = await trial.abandon(putting(job('a')));
      for (const [tries, tried] of [
        [1, false],
        [1, true],
        [2, true],
        [3, false],
        [3, false],
      ] as const) {
        const [orphan] = await trial.claim(survivor, [dead], 1);
        assert.equal(
          orphan?.tries,
          tries,
          'count each claim, and take it back for one given back as not tried',
        );
        await survivor.store.giveBack?.([idOf(orphan)], { tried });
      }
    },
  },
  {
    id: 'S14',
    title: 'what a claimer had in hand when it died comes again, in smaller company',
    needs: 'abandon',
    run: async (trial) => {
      const survivor = await trial.tenant();
      const dead = await trial.abandon(putting(...jobs(SEVERAL)));
      await trial.abandon({ do: 'claim', instanceId: dead, count: SEVERAL });
      const portion = await survivor.claim(new Set([dead]), 1, trial.patienceMs);
      assert.ok(portion.length > 0, 'what a dead claimer had in hand was not given out again');
      assert.ok(
        portion.length < SEVERAL,
        'they came all together again, and may kill their next reporter as well',
      );
      assert.ok(
        portion.every(({ tries }) => tries === 2),
        'the try of the dead claimer was not counted',
      );
    },
  },
  {
    id: 'S15',
    title: 'what two claimers died with comes alone',
    needs: 'abandon',
    run: async (trial) => {
      const survivor = await trial.tenant();
      const dead = await trial.abandon(putting(job('a'), job('b'), job('c')));
      for (let death = 0; death < 2; death += 1)
        await trial.abandon({ do: 'claim', instanceId: dead, count: 3 });
      const portion = await survivor.claim(new Set([dead]), 1, trial.patienceMs);
      assert.equal(portion.length, 1, 'of what killed two reporters, only one may come at a time');
      assert.equal(portion[0]?.tries, 3, 'the tries of the dead claimers were not counted');
    },
  },
  {
    id: 'S16',
    title: 'what was set aside is never given out again, and the rest is',
    needs: 'abandon',
    uses: 'setAside',
    run: async (trial) => {
      const first = await trial.tenant();
      const dead = await trial.abandon(putting(job('a'), job('b')));
      const found = await trial.claim(first, [dead], 2);
      await first.store.setAside?.(found.filter(({ key }) => key === 'a').map(idOf));
      await first.close();
      const second = await trial.tenant();
      const left = await trial.claim(second, [dead], 1);
      const more = await trial.claimUntilNews(second, [dead]);
      assert.deepEqual(keysOf([...left, ...more]), ['b'], 'a job that was set aside came back');
    },
  },
  {
    id: 'S17',
    title: 'what is left at close is an orphan, with its checkpoint',
    needs: 'abandon',
    run: async (trial) => {
      const [survivor, leaving] = [await trial.tenant(), await trial.tenant()];
      await leaving.put(job('a'), job('b'), job('c'));
      leaving.checkpoint('a', 'half');
      leaving.delete('b');
      await leaving.close();
      const found = await trial.claim(survivor, [leaving.instanceId], 2);
      const told = found.map(({ key, progress = 'none' }) => `${key} ${progress}`).sort();
      assert.deepEqual(told, ['a half', 'c none'], 'write what is still to be written before letting go');
    },
  },
  {
    id: 'S18',
    title: 'close gives back what is in hand, as if it had not been tried',
    needs: 'abandon',
    run: async (trial) => {
      const [survivor, leaving] = [await trial.tenant(), await trial.tenant()];
      const dead = await trial.abandon(putting(job('a')));
      await trial.claim(leaving, [dead], 1);
      await leaving.close();
      const [orphan] = await trial.claim(survivor, [dead], 1);
      assert.equal(orphan?.tries, 1, 'a claim that ended with close is no try');
    },
  },
  {
    id: 'S30',
    title: 'what its far end refused stays claimed, and counts as no try when its claimer dies',
    needs: 'abandon',
    uses: 'giveBack',
    run: async (trial) => {
      const survivor = await trial.tenant();
      const dead = await trial.abandon(putting(job('a')));
      await trial.abandon({ do: 'claim', instanceId: dead, count: 1 }, { do: 'keep' });
      const [orphan] = await trial.claim(survivor, [dead], 1);
      assert.equal(orphan?.tries, 1, 'a try that was taken back was counted');
      await survivor.store.giveBack?.([idOf(orphan)], { tried: false, keep: true });
      const again = await trial.claimUntilNews(survivor, [dead]);
      assert.deepEqual(keysOf(again), [], 'what is kept was given out again while its claimer lives');
    },
  },
  {
    id: 'S31',
    title: 'what was tried too often is left out when it is asked to, and stays',
    needs: 'abandon',
    run: async (trial) => {
      const survivor = await trial.tenant();
      const dead = await trial.abandon(putting(job('a')));
      for (let death = 0; death < 2; death += 1)
        await trial.abandon({ do: 'claim', instanceId: dead, count: 1 });
      survivor.wants = { mostTries: 2 };
      const found = await trial.claimUntilNews(survivor, [dead]);
      assert.deepEqual(keysOf(found), [], 'a third try was given to somebody who wanted two at the most');
      survivor.wants = {};
      const [orphan] = await trial.claim(survivor, [dead], 1);
      assert.equal(orphan?.tries, 3, 'what is left out is no try');
    },
  },
];
