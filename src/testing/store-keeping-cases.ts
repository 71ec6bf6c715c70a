import assert from 'node:assert/strict';
import type { Orphan, StoredJob } from '../store.js';
import type { StoreCase } from './store-conformance.js';
import { job, jobs, keysOf, putting } from './store-trial.js';

const MANY = 10_000;

/** What a process that was killed leaves behind. */
export const keepingCases: readonly StoreCase[] = [
  {
    id: 'S01',
    title: 'what was put comes back unchanged, whatever characters are in it',
    needs: 'abandon',
    run: async (trial) => {
      const survivor = await trial.tenant();
      const kept = hostileJobs();
      const dead = await trial.abandon(putting(...kept));
      mustBe(await trial.claim(survivor, [dead], kept.length), kept);
    },
  },
  {
    id: 'S02',
    title: 'long keys, which differ at their end only, and a record of a megabyte come back unchanged',
    needs: 'abandon',
    run: async (trial) => {
      const survivor = await trial.tenant();
      const key = 'k'.repeat(4999);
      const kept = [
        { ...job(`${key}1`, 'r'.repeat(2 ** 20)), progress: 'p'.repeat(2 ** 18) },
        job(`${key}2`, 'another one'),
      ];
      const dead = await trial.abandon(putting(...kept));
      mustBe(await trial.claim(survivor, [dead], kept.length), kept);
    },
  },
  {
    id: 'S03',
    title: 'the last checkpoint comes with the job; an empty one is not the same as none',
    needs: 'abandon',
    run: async (trial) => {
      const survivor = await trial.tenant();
      const dead = await trial.abandon(
        putting(job('several'), job('empty'), job('none'), { ...job('with it'), progress: 'first' }),
        { do: 'checkpoint', key: 'several', progress: 'first' },
        { do: 'checkpoint', key: 'several', progress: 'second' },
        { do: 'checkpoint', key: 'several', progress: 'third' },
        { do: 'checkpoint', key: 'empty', progress: '' },
      );
      mustBe(await trial.claim(survivor, [dead], 4), [
        { ...job('several'), progress: 'third' },
        { ...job('empty'), progress: '' },
        job('none'),
        { ...job('with it'), progress: 'first' },
      ]);
    },
  },
  {
    id: 'S04',
    title: 'a completed job never comes back, not even by a late checkpoint',
    needs: 'abandon',
    run: async (trial) => {
      const survivor = await trial.tenant();
      const dead = await trial.abandon(
        putting(job('plain'), job('with a checkpoint'), job('open')),
        { do: 'checkpoint', key: 'with a checkpoint', progress: 'half' },
        { do: 'delete', key: 'plain' },
        { do: 'delete', key: 'with a checkpoint' },
        { do: 'checkpoint', key: 'plain', progress: 'late' },
      );
      const found = await trial.claim(survivor, [dead], 1);
      const more = await trial.claimUntilNews(survivor, [dead]);
      assert.deepEqual(
        keysOf([...found, ...more]),
        ['open'],
        'a completed job came back; delete must remove it',
      );
    },
  },
  {
    id: 'S05',
    title: 'a job that was put again is its last record, with the checkpoint of that one or none',
    needs: 'abandon',
    run: async (trial) => {
      const survivor = await trial.tenant();
      const dead = await trial.abandon(
        putting({ ...job('bare', 'old'), progress: 'old' }, job('with', 'old'), job('back', 'old')),
        { do: 'checkpoint', key: 'back', progress: 'old' },
        { do: 'delete', key: 'back' },
        putting(job('bare', 'new'), { ...job('with', 'new'), progress: 'new' }, job('back', 'new')),
      );
      mustBe(await trial.claim(survivor, [dead], 3), [
        job('bare', 'new'),
        { ...job('with', 'new'), progress: 'new' },
        job('back', 'new'),
      ]);
    },
  },
  {
    id: 'S06',
    title: 'what its owner said of itself last, at a heartbeat or at close, comes with each orphan',
    needs: 'abandon',
    run: async (trial) => {
      const [survivor, leaving] = [await trial.tenant(), await trial.tenant()];
      const about = JSON.stringify({ said: 'lást' });
      const dead = await trial.abandon(putting(job('a'), job('b')), { do: 'say', about });
      await leaving.put(job('c'));
      leaving.about = about;
      await leaving.close();
      for (const { owner, key } of await trial.claim(survivor, [dead, leaving.instanceId], 3))
        assert.equal(owner, about, `keep what owner.describe() says at each heartbeat and at close (${key})`);
    },
  },
  {
    id: 'S07',
    title: `${MANY} jobs come back, each of them once`,
    needs: 'abandon',
    run: async (trial) => {
      const survivor = await trial.tenant();
      const kept = jobs(MANY);
      const dead = await trial.abandon(putting(...kept));
      mustBe(await trial.claim(survivor, [dead], MANY), kept);
    },
  },
];

/** Fails unless these are the orphans of those jobs. */
function mustBe(orphans: readonly Orphan[], kept: readonly StoredJob[]): void {
  const byKey = new Map(orphans.map((orphan) => [orphan.key, orphan]));
  for (const { key, record, progress } of kept) {
    const orphan = byKey.get(key);
    if (orphan?.record === record && orphan.progress === progress) continue;
    const name = JSON.stringify(key.slice(0, 50));
    if (orphan === undefined) assert.fail(`the job ${name} did not come back under its key`);
    if (orphan.record !== record) assert.fail(`the record of ${name} came back changed, or an old one`);
    const told = JSON.stringify(orphan.progress?.slice(0, 50));
    assert.fail(`the last checkpoint of ${name} came back as ${told ?? 'none'}`);
  }
}

/** Keys and texts with everything in them that a careless store may stumble over. */
function hostileJobs(): readonly StoredJob[] {
  const texts = [
    '',
    ' ',
    'with/slashes//and\\',
    'null \u0000, line\nfeed, bell \u0007, separators \u2028',
    'quotes " and \', {braces}, 100 %, a:b, *?[x], ~tilde, $dollars, ../up',
    '"in quotes"',
    'é',
    'e\u0301',
    'ünïcödé 日本語 👩‍🚀 \ufeff',
    '__proto__',
    'constructor',
    'UPPER',
    'upper',
    '{"json":[1,null]}',
  ];
  const kept = texts.map((text) => ({ key: text, record: text, progress: text }));
  // Keys may be anything a program calls a text; records are always well formed.
  return [...kept, job('half a character \ud83d', 'x'), job('half a character \ud83e', 'y')];
}
