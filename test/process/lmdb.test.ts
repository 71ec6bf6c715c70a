import { describe, expect, it } from 'vitest';
import { type Ending, envelopesIn } from './child.js';
import {
  accepted,
  anotherLooks,
  begin,
  ids,
  idsOf,
  killed,
  place,
  ready,
  reports,
  stopped,
  useOwnPlace,
} from './lmdb-place.js';

useOwnPlace();

describe('jobs of a process that is killed', () => {
  it('A01: SIGKILL: the next start reports each one, with its last checkpoint, under the id the dead would have used', async () => {
    const dead = await ready(['3', 'checkpoints']);
    await killed(dead);
    expect(reports()).toEqual([]);
    const next = await ready(['0']);
    await expect.poll(() => reports().length).toBe(3);
    for (const n of [1, 2, 3]) {
      expect(reports()).toContainEqual(
        expect.objectContaining({
          id: `${dead.instanceId}/r${n}`,
          data: expect.objectContaining({
            outcome: 'lost',
            progress: { rows: n },
            payload: expect.objectContaining({ page: n }),
            pid: dead.process.pid,
            detail: expect.stringMatching(/ended without a word, last seen .* MiB resident$/),
          }),
        }),
      );
    }
    await stopped(next);
    const last = await anotherLooks();
    expect(ids()).toEqual([...idsOf(dead, 3), ...last].sort());
  });

  it('negative twin: without the store nobody ever hears of them', async () => {
    place.env.SHUTDOWN_STORE = 'memory';
    await killed(await ready(['3']));
    await stopped(await ready(['0']));
    expect(reports()).toEqual([]);
  });

  it('are reported by a process that runs on the same path already, and those of the living are not', async () => {
    const peer = await ready(['2']);
    const dead = await ready(['3']);
    await killed(dead);
    await expect.poll(() => reports().length, { timeout: 10_000 }).toBe(3);
    await stopped(peer);
    expect(ids()).toEqual([...idsOf(dead, 3), ...idsOf(peer, 2)].sort());
  });

  it('four processes on one path, killed together, two survivors: each job exactly once', async () => {
    const dead = await Promise.all([1, 2, 3, 4].map(() => ready(['500'])));
    await Promise.all(dead.map(killed));
    const survivors = await Promise.all([ready(['0']), ready(['0'])]);
    await expect.poll(() => reports().length, { timeout: 15_000 }).toBeGreaterThanOrEqual(2000);
    // They go on: whatever they would report a second time is still to come.
    const late = await ready(['1']);
    await killed(late);
    await expect.poll(() => ids()).toContain(idsOf(late, 1)[0]);
    await Promise.all(survivors.map(stopped));
    const last = await anotherLooks();
    const left = [...dead.flatMap((one) => idsOf(one, 500)), ...idsOf(late, 1), ...last];
    expect(ids()).toEqual(left.sort());
  });

  it.each([
    ['process.exit by the application', ['2', 'exits'], [], 1],
    ['a second Ctrl-C', ['2', 'hangs'], ['SIGINT', 'SIGINT'], 130],
  ] as const)(
    '%s: they stay in the store, and go out at the next start',
    async (_way, args, signals, code) => {
      place.status = 503;
      const child = await ready([...args]);
      for (const [index, signal] of signals.entries()) {
        // The kernel makes one of two that come at once.
        if (index > 0) await child.line('stopping');
        child.kill(signal);
      }
      const ended = await child.ended;
      expect(ended.code).toBe(code);
      expect(envelopesIn(ended.stderr)).toEqual([]);
      expect(ended.stderr).toContain('2 open jobs not accepted by every notifier stay in the store lmdb');
      place.status = 204;
      await ready(['0']);
      await expect.poll(accepted).toEqual(idsOf(child, 2));
    },
  );
});

describe('jobs of another container on the same folder', () => {
  // Its processes cannot be seen from here: all that tells of them is the heartbeat in the file.
  const contained = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];

  it('are left alone while its heart beats, and reported 10 s after it stopped', async () => {
    const container = await ready(['2'], contained);
    const survivor = await ready(['0']);
    // Without heartbeats it would be given up by now.
    await new Promise((resolve) => setTimeout(resolve, 12_000));
    expect(reports()).toEqual([]);
    await killed(container);
    await expect.poll(() => ids(), { timeout: 20_000 }).toEqual(idsOf(container, 2));
    await stopped(survivor);
  });
});

describe('a job that kills whoever reports it', () => {
  it('is set aside after three deaths, loudly, and all the others are reported', async () => {
    const dead = await ready(['60']);
    await killed(dead);
    const verdict = new RegExp(`${dead.instanceId}/r30 is set aside .*died of it, 3 times`);
    const reporters: Ending[] = [];
    while (reporters.length < 10 && !verdict.test(reporters.at(-1)?.stderr ?? ''))
      reporters.push(await begin('dies-of-poison.js', ['r30']).ended);
    expect(reporters.at(-1)?.stderr).toMatch(verdict);
    expect(reporters.filter(({ signal }) => signal === 'SIGKILL')).toHaveLength(3);
    expect(accepted()).toEqual(idsOf(dead, 60).filter((id) => !id.endsWith('/r30')));
  });
});
