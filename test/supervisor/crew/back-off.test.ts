import { afterEach, describe, expect, it, vi } from 'vitest';
import { BackOff } from '../../../supervisor/crew/back-off.js';

const YOUNG = 4999;
const CALM = 5000;

afterEach(() => void vi.restoreAllMocks());

/** Without the spread: 0.75 + 0.5 / 2. */
function midway(): void {
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
}

describe('the pause before a dead worker is replaced', () => {
  it('is none at first, and twice as long for each that dies young, up to 30 s', () => {
    midway();
    const backOff = new BackOff();
    const pauses = Array.from({ length: 12 }, () => backOff.next(YOUNG));
    expect(pauses).toEqual([0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
  });

  it('is none after one that lived for 5 s, and begins anew', () => {
    midway();
    const backOff = new BackOff();
    for (let dead = 0; dead < 6; dead += 1) backOff.next(0);
    expect(backOff.next(YOUNG)).toBe(3200);
    expect(backOff.next(CALM)).toBe(0);
    expect([backOff.next(YOUNG), backOff.next(YOUNG)]).toEqual([0, 100]);
  });

  it('is spread by a quarter, so that several do not come back in one moment', () => {
    const pauseAt = (random: number) => {
      vi.spyOn(Math, 'random').mockReturnValue(random);
      const backOff = new BackOff();
      backOff.next(0);
      return backOff.next(0);
    };
    expect([pauseAt(0), pauseAt(1)]).toEqual([75, 125]);
  });
});
