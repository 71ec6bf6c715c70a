import { describe, expect, it } from 'vitest';
import { Eras } from '../../http/eras.js';
import { createFakeClock } from '../../src/testing/fake-clock.js';

describe('eras', () => {
  it('hold what happens within 50 ms, and count as their end', async () => {
    const clock = createFakeClock();
    let ends = 0;
    const eras = new Eras(clock, () => {
      ends += 1;
      expect(eras.now()).toBe(first);
    });
    const first = eras.now();
    await clock.advance(49);
    expect(eras.now()).toBe(first);
    expect(first.endedAt).toBeUndefined();
    await clock.advance(1);
    expect(first.endedAt).toBe(50);
    expect(eras.latest).toBe(first);
    expect(ends).toBe(1);
    await clock.advance(100);
    const second = eras.now();
    expect(second).not.toBe(first);
    expect(eras.latest).toBe(second);
  });

  it('are moments once they are to be exact; the running one ends then', async () => {
    const clock = createFakeClock();
    let ends = 0;
    const eras = new Eras(clock, () => void (ends += 1));
    const running = eras.now();
    await clock.advance(10);
    eras.beExact();
    eras.beExact();
    expect([running.endedAt, ends, clock.pending]).toEqual([10, 1, 0]);
    await clock.advance(1);
    expect(eras.now()).toEqual({ endedAt: 11 });
    expect(eras.latest).toEqual({ endedAt: 11 });
  });

  it('keep no timer while nobody asks, nor after they were disposed', async () => {
    const clock = createFakeClock();
    const eras = new Eras(clock);
    expect(clock.pending).toBe(0);
    eras.now();
    await clock.advance(50);
    expect(clock.pending).toBe(0);
    eras.now();
    eras.dispose();
    expect(clock.pending).toBe(0);
  });
});
