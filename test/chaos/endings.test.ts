import { describe, expect, it } from 'vitest';

// Plain JavaScript, whose types are checked in its own place.
const load = (file: string) => import(new URL(`../../chaos/${file}`, import.meta.url).href);
const { countEndings, faultsOf } = await load('endings.js');

const ANY = { parallel: 2 };

function ends(count: number, ending: number | string, struck = true) {
  return Array.from({ length: count }, () => ({ ending, struck, strange: undefined }));
}

describe('processes that should end by themselves', () => {
  const faultsWith = (killed: number, trials: number, parallel = 2) =>
    faultsOf([...ends(killed, 'SIGKILL'), ...ends(trials - killed, 0)], { rarely: ['SIGKILL'], parallel });

  it.each([
    { trials: 3, most: 2 },
    { trials: 20, most: 2 },
    { trials: 29, most: 2 },
    { trials: 30, most: 3 },
    { trials: 200, most: 20 },
  ])('may end by SIGKILL in $most of $trials trials', ({ trials, most }) => {
    expect(faultsWith(0, trials)).toEqual([]);
    expect(faultsWith(most, trials)).toEqual([]);
    expect(faultsWith(most + 1, trials)).toEqual([
      `${most + 1} of ${trials} ended with SIGKILL, at most ${most} should`,
    ]);
  });

  it('may do so all that live at the same time: one bad moment hits them all', () => {
    expect(faultsWith(5, 20, 5)).toEqual([]);
    expect(faultsWith(6, 20, 5)).toEqual(['6 of 20 ended with SIGKILL, at most 5 should']);
  });

  it('end by it always where that is how they die', () => {
    expect(faultsOf(ends(20, 'SIGKILL'), ANY)).toEqual([]);
  });
});

describe('a blow that never strikes', () => {
  it('is noticed in twenty trials, and not called a fault in fewer', () => {
    expect(faultsOf(ends(20, 0, false), ANY)).toEqual(['no blow has struck']);
    expect(faultsOf(ends(19, 0, false), ANY)).toEqual([]);
    expect(faultsOf([], ANY)).toEqual([]);
  });

  it('is none when it struck once', () => {
    expect(faultsOf([...ends(199, 0, false), ...ends(1, 130)], ANY)).toEqual([]);
  });
});

it('endings are counted by what they were', () => {
  expect(countEndings([])).toEqual({});
  expect(countEndings([...ends(2, 0), ...ends(1, 'SIGKILL')])).toEqual({ 0: 2, SIGKILL: 1 });
});
