import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  accepted,
  anotherLooks,
  asideFiles,
  begin,
  ids,
  idsOf,
  killed,
  place,
  ready,
  useOwnPlace,
} from './lmdb-place.js';

useOwnPlace();

const MESSAGE =
  /the job store lmdb failed: process (\d+), .* does not let go of .*gate\.mdb: it may be stopped/;

/** A process that is inside the gate and does nothing any more. */
async function stoppedInside() {
  const holder = begin('enters-gate.js', [join(place.folder, 'jobs'), 'stops']);
  await holder.line('is inside');
  const state = () => readFileSync(`/proc/${holder.process.pid}/stat`, 'latin1');
  await expect.poll(state).toContain(') T ');
  return holder;
}

describe('a process that is stopped in the gate', () => {
  it('keeps nobody from starting: jobs are in memory only, an error names it, and they are kept when it goes on', async () => {
    const dead = await ready(['1']);
    await killed(dead);
    const holder = await stoppedInside();
    // Negative twin: LMDB itself waits.
    const patient = begin('enters-gate.js', [join(place.folder, 'jobs'), 'passes']);
    await patient.line('enters');
    const service = await ready(['2', 'at once']);
    await service.line('the job store lmdb failed');
    expect(MESSAGE.exec(service.texts().stderr)?.[1]).toBe(String(holder.process.pid));
    expect(patient.texts().stdout).toBe('enters\n');
    holder.kill('SIGCONT');
    await service.line('the job store lmdb works again; it holds all open jobs');
    await patient.line('is inside');
    await killed(service);
    const last = await anotherLooks();
    expect(accepted()).toEqual([...idsOf(dead, 1), ...idsOf(service, 2), ...last].sort());
  });

  it('stops no service that runs: it goes on in memory, and all is kept when the other one is killed', async () => {
    const orders = join(place.folder, 'orders');
    place.env.ORDERS = orders;
    const service = await ready(['1', 'follows']);
    const holder = await stoppedInside();
    writeFileSync(orders, 'begin 2\n');
    await service.line('done begin 2: 3 open, degraded true');
    expect(service.texts().stderr).toMatch(MESSAGE);
    holder.kill('SIGKILL');
    await service.line('the job store lmdb works again; it holds all open jobs');
    writeFileSync(orders, 'begin 2\nbegin 1\n');
    await service.line('done begin 1: 4 open, degraded false');
    await killed(service);
    await anotherLooks();
    expect(ids().filter((id) => id.startsWith(service.instanceId))).toHaveLength(4);
  });

  it('makes nobody look as if the data had killed it who is killed before it came in', async () => {
    const dead = await ready(['1']);
    await killed(dead);
    const holder = await stoppedInside();
    for (let n = 0; n < 3; n += 1) await killed(await ready(['0', 'at once']));
    holder.kill('SIGKILL');
    await ready(['0']);
    await expect.poll(accepted).toEqual(idsOf(dead, 1));
    expect(asideFiles()).toEqual([]);
  });
});
