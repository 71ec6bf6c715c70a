import { describe, expect, it } from 'vitest';
import { Eras } from '../../http/eras.js';
import { createFakeClock } from '../../src/testing/fake-clock.js';

describe('eras', () => {
  it('hold what happens within 5 ms, and count as their end', async () => {
    const clock = createFakeClock();
    const eras = new Eras(clock);
    const first = eras.now();
    await clock.advance(4);
    expect(eras.now()).toBe(first);
    expect(first.endedAt).toBeUndefined();
    await clock.advance(1);
    expect(first.endedAt).toBe(5);
    expect(eras.latest).toBe(first);
    await clock.advance(100);
    const second = eras.now();
    expect(second).not.toBe(first);
    expect(eras.latest).toBe(second);
  });

  it('keep no timer while nobody asks, nor after they were disposed', async () => {
    const clock = createFakeClock();
    const eras = new Eras(clock);
    expect(clock.pending).toBe(0);
    eras.now();
    await clock.advance(5);
    expect(clock.pending).toBe(0);
    eras.now();
    eras.dispose();
    expect(clock.pending).toBe(0);
  });
});
