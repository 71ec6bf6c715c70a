import { describe, expect, it } from 'vitest';
import { envelopesIn } from './child.js';
import { anotherLooks, ids, idsOf, place, ready, reports, useOwnPlace } from './lmdb-place.js';

useOwnPlace();

describe('reports that nobody took before the deadline', () => {
  it('A27: stay in the store, go out at the next start with the reason of the stop, and stderr has none', async () => {
    place.status = 503;
    const child = await ready(['2']);
    child.kill('SIGTERM');
    const { code, stderr } = await child.ended;
    expect([code, envelopesIn(stderr)]).toEqual([1, []]);
    const before = reports().length;
    place.status = 204;
    await ready(['0']);
    await expect.poll(() => reports().length).toBe(before + 2);
    const late = reports().slice(before);
    expect(late.map(({ id }) => id).sort()).toEqual(idsOf(child, 2));
    expect(late.map(({ data }) => [data.outcome, data.reason])).toEqual([
      ['interrupted', 'SIGTERM'],
      ['interrupted', 'SIGTERM'],
    ]);
  });

  it('A27, negative twin: with memory only they are on stderr, one line each, and the exit code says so', async () => {
    place.env.SHUTDOWN_STORE = 'memory';
    place.status = 503;
    const child = await ready(['2']);
    child.kill('SIGTERM');
    const { code, stderr } = await child.ended;
    expect(code).toBe(1);
    expect(envelopesIn(stderr).map(({ id }) => id)).toEqual(idsOf(child, 2));
  });
});

describe('an event loop that is blocked during the shutdown', () => {
  it('a thread delivers, and the store hears of it: the next start reports nothing again', async () => {
    const child = await ready(['20', 'blocks']);
    child.kill('SIGTERM');
    const { signal, stderr } = await child.ended;
    expect([signal, ids(), envelopesIn(stderr)]).toEqual(['SIGKILL', idsOf(child, 20), []]);
    const last = await anotherLooks();
    expect(ids()).toEqual([...idsOf(child, 20), ...last].sort());
  });

  it('negative twin: a store that the application made is out of its reach: the next start reports them all again', async () => {
    const child = await ready(['20', 'blocks', 'store in code']);
    child.kill('SIGTERM');
    expect([(await child.ended).signal, ids()]).toEqual(['SIGKILL', idsOf(child, 20)]);
    await anotherLooks();
    for (const id of idsOf(child, 20)) expect(ids().filter((one) => one === id).length).toBeGreaterThan(1);
  });

  it('nobody takes the reports: stderr has none, and the next start delivers them', async () => {
    place.status = 503;
    const child = await ready(['20', 'blocks']);
    child.kill('SIGTERM');
    const { signal, stderr } = await child.ended;
    expect([signal, envelopesIn(stderr)]).toEqual(['SIGKILL', []]);
    expect(stderr).toContain('0 open jobs follow, 20 stay in the store');
    const before = reports().length;
    place.status = 204;
    await ready(['0']);
    await expect.poll(() => reports().length).toBe(before + 20);
  });

  it('negative twin: with memory only they are on stderr', async () => {
    place.status = 503;
    place.env.SHUTDOWN_STORE = 'memory';
    const child = await ready(['20', 'blocks']);
    child.kill('SIGTERM');
    const { stderr } = await child.ended;
    expect(envelopesIn(stderr)).toHaveLength(20);
  });
});
