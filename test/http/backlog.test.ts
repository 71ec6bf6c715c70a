import { describe, expect, it } from 'vitest';
import { type BacklogPlan, emptyBacklog } from '../../http/backlog.js';

function plan(
  options: {
    accepted: (turn: number) => number;
    waiting?: (turn: number) => number | undefined;
    stepMs?: number;
  } & Partial<Pick<BacklogPlan, 'signal' | 'mostMs'>>,
) {
  let turns = 0;
  let now = 0;
  const clock = { now: () => now, wallTime: () => now, setTimeout: () => 0, clearTimeout: () => {} };
  const { accepted, waiting, stepMs = 0, ...rest } = options;
  const made = {
    clock,
    signal: new AbortController().signal,
    mostMs: 1000,
    ...rest,
    accepted: () => {
      if (turns > 0) now += stepMs;
      return accepted(turns++);
    },
    waiting: () => waiting?.(turns - 1),
  } as BacklogPlan;
  return { made, turns: () => turns - 1 };
}

describe('emptyBacklog', () => {
  it('B20, B21: an empty backlog takes one turn when the kernel says so', async () => {
    const { made, turns } = plan({ accepted: () => 7, waiting: () => 0 });
    expect(await emptyBacklog(made)).toBe('quiet');
    expect(turns()).toBe(1);
  });

  it('B20: where the kernel does not tell, three quiet turns in a row are the sign', async () => {
    const { made, turns } = plan({ accepted: (turn) => Math.min(turn, 3) });
    expect(await emptyBacklog(made)).toBe('quiet');
    expect(turns()).toBe(6);
  });

  it('B22: accepts until nobody waits, also when a turn brought none', async () => {
    const { made, turns } = plan({
      accepted: (turn) => Math.floor(turn / 2),
      waiting: (turn) => Math.max(0, 200 - Math.floor(turn / 2)),
    });
    expect(await emptyBacklog(made)).toBe('quiet');
    expect(turns()).toBeGreaterThanOrEqual(400);
  });

  it('B22: a flood is left at the cap on its count', async () => {
    const { made, turns } = plan({ accepted: (turn) => turn, waiting: () => 1 });
    expect(await emptyBacklog(made)).toBe('cap');
    expect(turns()).toBe(8192);
  });

  it.each([100, 400])('B22: a flood is left at the cap on its time, %i ms', async (mostMs) => {
    const { made, turns } = plan({ accepted: (turn) => turn, waiting: () => 1, stepMs: 1, mostMs });
    expect(await emptyBacklog(made)).toBe('cap');
    expect(turns()).toBe(mostMs);
  });

  it('B22: connections that others must accept are not waited for', async () => {
    const { made, turns } = plan({ accepted: () => 0, waiting: () => 5 });
    expect(await emptyBacklog(made)).toBe('cap');
    expect(turns()).toBe(100);
  });

  it('ends at once when the time is up', async () => {
    const { made } = plan({ accepted: (turn) => turn, signal: AbortSignal.abort() });
    expect(await emptyBacklog(made)).toBe('deadline');
  });
});
