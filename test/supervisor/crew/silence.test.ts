import { describe, expect, it } from 'vitest';
import { createFakeClock, type FakeClock } from '../../../src/testing/fake-clock.js';
import { Silence, type SilenceLimits } from '../../../supervisor/crew/silence.js';

const EVERY_MS = 100;

interface Watch {
  readonly clock: FakeClock;
  readonly silence: Silence;
  /** `SIGABRT at 5000`, in order, on the clock. */
  readonly sent: string[];
  /** Looks every so many milliseconds, for so long. */
  pass(ms: number, everyMs?: number): Promise<void>;
  look(): NodeJS.Signals | undefined;
}

function watch(limits: Partial<SilenceLimits>): Watch {
  const clock = createFakeClock();
  const silence = new Silence({ timeoutMs: 30_000, killGapMs: 2000, ...limits }, clock, EVERY_MS);
  const sent: string[] = [];
  const look = () => {
    const signal = silence.look();
    if (signal !== undefined) sent.push(`${signal} at ${clock.now()}`);
    return signal;
  };
  const pass = async (ms: number, everyMs = EVERY_MS) => {
    for (let left = ms; left > 0; left -= everyMs) {
      await clock.advance(Math.min(everyMs, left));
      look();
    }
  };
  return { clock, silence, sent, pass, look };
}

describe('a worker that gives no sign of life', () => {
  it.each([1000, 5000])('C03: gets SIGABRT at its limit of %i ms and not 1 ms before', async (timeoutMs) => {
    const { sent, pass } = watch({ timeoutMs });
    await pass(timeoutMs - 1);
    expect(sent).toEqual([]);
    await pass(1);
    expect(sent).toEqual([`SIGABRT at ${timeoutMs}`]);
  });

  it.each([500, 2000])('C01: and SIGKILL %i ms after that, not 1 ms before', async (killGapMs) => {
    const { sent, pass } = watch({ timeoutMs: 1000, killGapMs });
    await pass(1000 + killGapMs - 1);
    expect(sent).toEqual(['SIGABRT at 1000']);
    await pass(1);
    expect(sent).toEqual(['SIGABRT at 1000', `SIGKILL at ${1000 + killGapMs}`]);
  });

  it.each([
    [5000, 7000],
    [1000, 4000],
  ])(
    'C04: with %i / %i it gets SIGTERM at the second, and not 1 ms before',
    async (timeoutMs, gracefulTimeoutMs) => {
      const { sent, pass } = watch({ timeoutMs, gracefulTimeoutMs });
      await pass(gracefulTimeoutMs - 1);
      expect(sent).toEqual([`SIGABRT at ${timeoutMs}`]);
      await pass(1);
      expect(sent.slice(1)).toEqual([`SIGTERM at ${gracefulTimeoutMs}`]);
    },
  );

  it('C06: 5 / 7 is SIGABRT at 5 s and SIGTERM at 7 s, both from the beginning, and SIGKILL 2 s after the last', async () => {
    const { sent, pass } = watch({ timeoutMs: 5000, gracefulTimeoutMs: 7000 });
    await pass(20_000);
    expect(sent).toEqual(['SIGABRT at 5000', 'SIGTERM at 7000', 'SIGKILL at 9000']);
  });

  it('C07: 5 alone is SIGABRT at 5 s and SIGKILL at 7 s', async () => {
    const { sent, pass } = watch({ timeoutMs: 5000 });
    await pass(20_000);
    expect(sent).toEqual(['SIGABRT at 5000', 'SIGKILL at 7000']);
  });

  it('two limits that are the same give both signals, one a look', async () => {
    const { sent, pass } = watch({ timeoutMs: 1000, gracefulTimeoutMs: 1000, killGapMs: 0 });
    await pass(2000);
    expect(sent).toEqual(['SIGABRT at 1000', 'SIGTERM at 1100', 'SIGKILL at 1200']);
  });

  it.each([1000, 7000])('counts from its last sign, here at %i ms', async (heardAt) => {
    const { silence, sent, pass } = watch({ timeoutMs: 2000 });
    for (let at = 0; at < heardAt; at += 1000) {
      await pass(1000);
      silence.heard();
    }
    await pass(1999);
    expect(sent).toEqual([]);
    await pass(1);
    expect(sent).toEqual([`SIGABRT at ${heardAt + 2000}`]);
  });

  it('0 is never, however long it is silent', async () => {
    const { silence, sent, pass } = watch({ timeoutMs: 0, killGapMs: 0 });
    await pass(86_400_000, 60_000);
    expect(sent).toEqual([]);
    expect(silence.ms).toBeGreaterThan(0);
  });
});

describe('once SIGABRT was sent', () => {
  it('C01: the rest follows, whatever the worker says', async () => {
    const { silence, sent, pass } = watch({ timeoutMs: 5000, gracefulTimeoutMs: 7000 });
    await pass(5000);
    for (let at = 0; at < 40; at += 1) {
      silence.heard();
      await pass(100);
    }
    expect(sent).toEqual(['SIGABRT at 5000', 'SIGTERM at 7000', 'SIGKILL at 9000']);
  });

  it('1 ms before, one sign is enough to go free', async () => {
    const { silence, sent, pass } = watch({ timeoutMs: 5000 });
    await pass(4999);
    silence.heard();
    await pass(4999);
    expect(sent).toEqual([]);
  });

  it.each([500, 2000])(
    'C01: %i ms lie between it and SIGKILL, although the primary sent it late',
    async (killGapMs) => {
      const { clock, sent, pass, look } = watch({ timeoutMs: 1000, killGapMs });
      await pass(900);
      // Less than what is forgiven: late all the same.
      await clock.advance(2 * EVERY_MS);
      look();
      expect(sent).toEqual(['SIGABRT at 1100']);
      await pass(killGapMs - 1);
      expect(sent).toHaveLength(1);
      await pass(1);
      expect(sent).toEqual(['SIGABRT at 1100', `SIGKILL at ${1100 + killGapMs}`]);
    },
  );

  it('C01: a primary that stood still for longer than everything still leaves the gap before SIGKILL', async () => {
    const { clock, sent, pass, look } = watch({ timeoutMs: 5000, gracefulTimeoutMs: 7000 });
    await pass(5000);
    await clock.advance(60_000);
    look();
    expect(sent).toEqual(['SIGABRT at 5000', 'SIGTERM at 65000']);
    await pass(1999);
    expect(sent).toHaveLength(2);
    await pass(1);
    expect(sent.at(-1)).toBe('SIGKILL at 67000');
  });

  it('SIGKILL comes once', async () => {
    const { sent, pass } = watch({ timeoutMs: 100, killGapMs: 0 });
    await pass(5000);
    expect(sent).toEqual(['SIGABRT at 100', 'SIGKILL at 200']);
  });
});

describe('a primary that did not run itself', () => {
  it('does not take that for the silence of a worker, whose signs it has not read yet', async () => {
    const { clock, silence, sent, pass, look } = watch({ timeoutMs: 1000 });
    await pass(500);
    await clock.advance(60_000);
    expect(look()).toBeUndefined();
    silence.heard();
    await pass(999);
    expect(sent).toEqual([]);
    await pass(1);
    expect(sent).toHaveLength(1);
  });

  it('gives a worker that stays silent only what was left of its time', async () => {
    const { clock, sent, pass, look } = watch({ timeoutMs: 1000 });
    await pass(500);
    await clock.advance(60_000);
    look();
    // 500 ms before, and the 100 ms after which it would have looked.
    await pass(399);
    expect(sent).toEqual([]);
    await pass(1);
    expect(sent).toEqual(['SIGABRT at 60900']);
  });

  it('a look that is late by no more than the distance of two forgives nothing', async () => {
    for (const [lateMs, sent] of [
      [EVERY_MS, ['SIGABRT at 1050']],
      [EVERY_MS + 1, []],
    ] as const) {
      const { clock, sent: seen, pass, look } = watch({ timeoutMs: 1000 });
      await pass(850);
      await clock.advance(EVERY_MS + lateMs);
      look();
      expect(seen).toEqual(sent);
    }
  });

  it('a worker is not forgiven more than its whole silence', async () => {
    const { clock, silence, look } = watch({ timeoutMs: 1000 });
    await clock.advance(5000);
    silence.heard();
    await clock.advance(1);
    look();
    expect(silence.ms).toBe(0);
  });
});
