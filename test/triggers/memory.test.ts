import { describe, expect, it } from 'vitest';
import { parseMemoryLimit } from '../../src/config/values.js';
import type { ShutdownReason } from '../../src/index.js';
import { createFakeClock } from '../../src/testing/fake-clock.js';
import { watchMemory } from '../../src/triggers/memory.js';
import { heapLimitBytes, type MemoryGauge, memoryGauges } from '../../src/triggers/memory-gauges.js';
import { createTestBus, never, pass } from '../test-bus.js';

const MIB = 2 ** 20;

interface Scene {
  /** MiB in use at that time. */
  readonly used: (atMs: number) => number;
  readonly limitMib?: number;
  readonly gauge?: Partial<MemoryGauge>;
  readonly textMib?: number;
  readonly stopping?: boolean;
}

/** A watch on a fake clock; what it does stands in `begun` and `pressed`, with the time of it. */
function watched({ used, limitMib = 1000, gauge, textMib = 0, stopping = false }: Scene) {
  const clock = createFakeClock();
  const begun: [number, ShutdownReason][] = [];
  const pressed: [number, number][] = [];
  const lines: string[] = [];
  const looks: number[] = [];
  const read = () => {
    looks.push(clock.now());
    return { usedBytes: used(clock.now()) * MIB, limitBytes: limitMib * MIB };
  };
  const room = { leastBytes: 16 * MIB, times: 8 };
  const gauges = [{ name: 'the test', share: 0.9, room, leapBytes: 0, read, ...gauge }];
  const stop = watchMemory(
    { clock, intervalMs: 1000, gauges, textBytes: () => textMib * MIB },
    {
      stopping: () => stopping || begun.length > 0,
      trigger: (reason) => void begun.push([clock.now(), reason]),
      press: (leftMs) => void pressed.push([clock.now(), leftMs]),
      warn: (line) => void lines.push(line),
    },
  );
  return { clock, begun, pressed, lines, looks, stop };
}

const steps =
  (...points: [atMs: number, mib: number][]) =>
  (nowMs: number) =>
    points.findLast(([atMs]) => nowMs >= atMs)?.[1] ?? 0;

describe('the memory watch', () => {
  it('A01: high for as long as the interval begins the shutdown with reason memory', async () => {
    const { clock, begun, lines } = watched({ used: steps([0, 800], [2000, 950]) });
    await clock.advance(10_000);
    expect(begun).toHaveLength(1);
    const [[atMs, reason]] = begun as [[number, ShutdownReason]];
    expect(reason).toEqual({ kind: 'memory', usedBytes: 950 * MIB, limitBytes: 1000 * MIB });
    expect(atMs).toBeGreaterThanOrEqual(3000);
    expect(atMs).toBeLessThanOrEqual(3400);
    expect(lines).toEqual(['the test is nearly used up: 950 MiB of 1000 MiB']);
  });

  it('one spike that goes back ends nothing, however often it comes', async () => {
    const { clock, begun } = watched({ used: (ms) => (ms % 1100 < 900 ? 950 : 800) });
    await clock.advance(60_000);
    expect(begun).toEqual([]);
  });

  it('a spike that only comes down to just below the threshold is none', async () => {
    const { clock, begun } = watched({ used: (ms) => (ms % 200 < 100 ? 905 : 890) });
    await clock.advance(2000);
    expect(begun).toHaveLength(1);
  });

  it('exactly at the threshold is still allowed, one byte more is not', async () => {
    for (const [mib, count] of [
      [900, 0],
      [900 + 1 / MIB, 1],
    ] as const) {
      const { clock, begun } = watched({ used: () => mib });
      await clock.advance(10_000);
      expect(begun).toHaveLength(count);
    }
  });

  it('does not wait for the interval when the limit would be reached before', async () => {
    // 100 MiB a second: 900 at 9 s, the limit at 10 s.
    const { clock, begun } = watched({ used: (ms) => ms / 10 });
    await clock.advance(9999);
    expect(begun).toHaveLength(1);
    expect(begun[0]?.[0]).toBeLessThan(9100);
  });

  it('waits for it when there is time: slow growth may be a spike', async () => {
    // 10 MiB a second: 10 s from the threshold to the limit.
    const { clock, begun } = watched({ used: (ms) => 890 + ms / 100 });
    await clock.advance(1900);
    expect(begun).toEqual([]);
    await clock.advance(300);
    expect(begun).toHaveLength(1);
  });

  it('begins earlier where the share would leave no room to speak', async () => {
    // 90 % of 100 MiB leave 10, a shutdown takes 16.
    const at84 = watched({ used: () => 84, limitMib: 100 });
    const at85 = watched({ used: () => 85, limitMib: 100 });
    await Promise.all([at84.clock.advance(5000), at85.clock.advance(5000)]);
    expect([at84.begun.length, at85.begun.length]).toEqual([0, 1]);
  });

  it('begins the earlier the more there is to report, but never below half of the limit', async () => {
    const scenes = [
      { used: 643, textMib: 42, count: 0 },
      { used: 649, textMib: 42, count: 1 },
      { used: 499, textMib: 400, count: 0 },
      { used: 501, textMib: 400, count: 1 },
    ];
    for (const { used, textMib, count } of scenes) {
      const { clock, begun } = watched({ used: () => used, textMib });
      await clock.advance(5000);
      expect(begun, `${used} MiB in use`).toHaveLength(count);
    }
  });

  it('looks as often as the interval says when use is low, and more often the nearer it is', async () => {
    const low = watched({ used: () => 100 });
    const near = watched({ used: () => 890 });
    await Promise.all([low.clock.advance(10_000), near.clock.advance(10_000)]);
    expect(low.looks).toHaveLength(11);
    expect(near.looks.length).toBeGreaterThan(300);
    expect(Math.min(...near.looks.slice(1).map((at, index) => at - (near.looks[index] as number)))).toBe(25);
  });

  it('a limit of its own begins at the limit itself, and never in a hurry', async () => {
    const gauge = { share: 1, room: undefined };
    const at = watched({ used: () => 1000, gauge });
    const above = watched({ used: (ms) => 1001 + ms, gauge });
    await Promise.all([at.clock.advance(5000), above.clock.advance(950)]);
    expect(at.begun).toEqual([]);
    expect(above.begun).toEqual([]);
    await above.clock.advance(100);
    expect(above.begun).toHaveLength(1);
    await above.clock.advance(1000);
    expect(above.pressed.every(([, leftMs]) => leftMs === Number.POSITIVE_INFINITY)).toBe(true);
  });

  it('presses the shutdown on with the time that is left at the present pace', async () => {
    const { clock, pressed } = watched({ used: (ms) => ms / 10 });
    await clock.advance(9950);
    expect(pressed.length).toBeGreaterThan(10);
    for (const [atMs, leftMs] of pressed) expect(Math.abs(10_000 - atMs - leftMs)).toBeLessThan(1);
  });

  it('takes no leap for growth, and is in time all the same when it was some', async () => {
    const leapBytes = 4 * MIB;
    const leaping = watched({
      used: (ms) => 950 + Math.min(4, Math.floor(ms / 40) * 2),
      gauge: { leapBytes },
    });
    const growing = watched({ used: (ms) => 950 + ms / 20, gauge: { leapBytes } });
    await Promise.all([leaping.clock.advance(900), growing.clock.advance(900)]);
    expect(leaping.begun).toEqual([]);
    expect(growing.begun[0]?.[0]).toBeLessThan(200);
    // It came to within a leap of the limit.
    const [, leftMs] = growing.pressed.at(-1) as [number, number];
    expect(leftMs).toBeLessThan(120);
  });

  it('with less than a leap left there is no time left, whatever the pace', async () => {
    const scenes = [
      { used: 995, expected: Number.POSITIVE_INFINITY },
      { used: 996, expected: 0 },
    ];
    for (const { used, expected } of scenes) {
      const { clock, pressed } = watched({ used: () => used, gauge: { leapBytes: 4 * MIB }, stopping: true });
      await clock.advance(500);
      expect(pressed.at(-1)?.[1]).toBe(expected);
    }
  });

  it('also one that somebody else began', async () => {
    const { clock, begun, pressed } = watched({ used: (ms) => ms / 10, stopping: true });
    await clock.advance(9950);
    expect(begun).toEqual([]);
    expect(pressed.length).toBeGreaterThan(10);
  });

  it('presses nobody when use does not grow', async () => {
    const { clock, pressed } = watched({ used: () => 950, stopping: true });
    await clock.advance(2000);
    expect(pressed.every(([, leftMs]) => leftMs === Number.POSITIVE_INFINITY)).toBe(true);
  });

  it('stopped it looks no more', async () => {
    const { clock, begun, stop } = watched({ used: () => 950 });
    stop();
    await clock.advance(10_000);
    expect(begun).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('a gauge that cannot be read any more ends nothing, and hides no other one', async () => {
    let gone = false;
    const read = () => {
      if (gone) throw new Error('ENOENT');
      return { usedBytes: 950 * MIB, limitBytes: 1000 * MIB };
    };
    const { clock, begun } = watched({ used: () => 0, gauge: { read } });
    await clock.advance(500);
    gone = true;
    await clock.advance(5000);
    expect(begun).toEqual([]);
  });
});

describe('a heap with garbage in it', () => {
  function heap(used: (atMs: number) => number) {
    const listeners = new Set<() => void>();
    const onCollected = (listener: () => void) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    };
    const collect = () => {
      for (const listener of [...listeners]) listener();
    };
    return { ...watched({ used, gauge: { onCollected } }), collect, listeners };
  }

  it('A01: begins the shutdown when it is still high after a full collection, at once', async () => {
    const { clock, begun, collect } = heap(() => 950);
    await clock.advance(300);
    collect();
    expect(begun).toMatchObject([[300, { kind: 'memory' }]]);
  });

  it('ends nothing as long as nothing was collected, however long it is high', async () => {
    const { clock, begun } = heap(() => 999);
    await clock.advance(60_000);
    expect(begun).toEqual([]);
  });

  it('ends nothing when the collection takes it back', async () => {
    let collected = false;
    const { clock, begun, collect, listeners } = heap(() => (collected ? 890 : 950));
    await clock.advance(300);
    collected = true;
    collect();
    await clock.advance(5000);
    expect(begun).toEqual([]);
    expect(listeners.size).toBe(1);
  });

  it('is not listened to while it is low', async () => {
    const { clock, listeners } = heap(steps([0, 100], [2000, 950], [4000, 100]));
    const sizes = [];
    for (const ms of [1000, 2000, 2000]) {
      await clock.advance(ms);
      sizes.push(listeners.size);
    }
    expect(sizes).toEqual([0, 1, 0]);
  });
});

describe('what is watched', () => {
  it('the heap, the control groups, and the limit that was given', () => {
    const gauges = memoryGauges({ share: 0.9, bytes: 123 });
    const [heap, own] = [gauges[0], gauges.at(-1)];
    expect(heap).toMatchObject({ name: "V8's heap", share: 0.9 });
    const { usedBytes, limitBytes } = (heap as MemoryGauge).read();
    expect(usedBytes).toBeGreaterThan(1e6);
    expect(limitBytes).toBeGreaterThan(usedBytes);
    expect(own).toMatchObject({ name: "this process's resident memory", share: 1 });
    expect(own?.room).toBeUndefined();
    expect(own?.read()).toMatchObject({ limitBytes: 123 });
    expect(own?.read().usedBytes).toBeGreaterThan(1e7);
  });

  it.each([
    [['--max-old-space-size=64'], 64],
    [['--max_old_space_size=64', '--inspect'], 64],
    [['--max-old-space-size=64', '--max-old-space-size=96'], 96],
  ])("with %j V8's heap ends at %i MiB, which its own limit does not tell", (flags, mib) => {
    expect(heapLimitBytes(flags)).toBe(mib * MIB);
  });

  it('the percentage of Node 24 wins over the size, and nothing is above what V8 says itself', () => {
    const total = process.getBuiltinModule('node:os').totalmem();
    const flags = ['--max-old-space-size-percentage=1', '--max-old-space-size=64'];
    expect(heapLimitBytes(flags)).toBeLessThanOrEqual(total / 100);
    const v8Limit = heapLimitBytes([]);
    expect(heapLimitBytes(['--max-old-space-size=999999999'])).toBe(v8Limit);
    expect(heapLimitBytes(['--max-old-space-size=0'])).toBe(v8Limit);
  });
});

describe('a bus whose memory runs out', () => {
  it('A01: over its limit it reports its jobs, with reason memory', async () => {
    const { bus, clock, notifier } = createTestBus({
      memory: { limit: 1, intervalMs: 100 },
      interruptGraceMs: 0,
    });
    bus.jobs.begin({ type: 'render' });
    await expect.poll(() => clock.pending).toBeGreaterThan(0);
    await pass(clock, 10_000, 100);
    await bus.requestShutdown();
    expect(notifier.received[0]?.data.reason).toBe('memory');
  });
});

describe('a shutdown that is pressed', () => {
  /** A run in its drain, held by a handler there and by a job that never ends. */
  async function stopping() {
    const { bus, clock, notifier, lines } = createTestBus({ interruptGraceMs: 1000 });
    bus.subscribeShutdown(never, { name: 'slow', phase: 'drain' });
    const job = bus.jobs.begin({ type: 'render' });
    void bus.simulate({ kind: 'memory', usedBytes: 1, limitBytes: 2 });
    await pass(clock, 100);
    return { bus, clock, notifier, lines, job };
  }

  it('leaves out the rest of the drain when the limit is near, and gives jobs their time to stop', async () => {
    const { bus, clock, notifier, lines, job } = await stopping();
    bus.press(1500);
    await pass(clock, 50);
    expect(job.signal.aborted).toBe(false);
    bus.press(1499);
    await pass(clock, 50);
    expect(job.signal.aborted).toBe(true);
    expect(lines.filter((line) => line.includes('the drain is cut short'))).toHaveLength(1);
    await pass(clock, 900);
    expect(notifier.received).toEqual([]);
    await pass(clock, 200);
    expect(notifier.received).toHaveLength(1);
  });

  it('reports at once when it is very near', async () => {
    const { bus, clock, notifier, job } = await stopping();
    bus.press(499);
    await pass(clock, 50);
    expect(job.signal.aborted).toBe(true);
    expect(notifier.received).toHaveLength(1);
  });

  it('leaves out also what begins after that', async () => {
    const { bus, clock, notifier } = createTestBus({ interruptGraceMs: 1000 });
    for (const priority of [300, 250]) bus.subscribeShutdown(never, { name: `intake ${priority}`, priority });
    bus.jobs.begin({ type: 'render' });
    void bus.simulate({ kind: 'memory', usedBytes: 1, limitBytes: 2 });
    await pass(clock, 100);
    bus.press(100);
    await pass(clock, 50);
    expect(notifier.received).toHaveLength(1);
  });

  it('reports at once also when that turns out while jobs have their time to stop', async () => {
    const { bus, clock, notifier } = await stopping();
    bus.press(1000);
    await pass(clock, 300);
    expect(notifier.received).toEqual([]);
    bus.press(100);
    await pass(clock, 50);
    expect(notifier.received).toHaveLength(1);
  });

  it('is left alone when use does not grow', async () => {
    const { bus, clock, job } = await stopping();
    bus.press(Number.POSITIVE_INFINITY);
    await pass(clock, 1000);
    expect(job.signal.aborted).toBe(false);
  });
});

describe('a memory limit as text', () => {
  it.each([
    ['90%', { share: 0.9 }],
    ['400MiB', { bytes: 400 * 2 ** 20 }],
    ['1.5gb', { bytes: 1.5e9 }],
    ['512Mi', { bytes: 512 * 2 ** 20 }],
    ['150M', { bytes: 150e6 }],
    ['1TiB', { bytes: 2 ** 40 }],
    ['2k', { bytes: 2000 }],
    ['90%b', undefined],
    ['5 parsecs', undefined],
    [0.9, undefined],
    ['1024', { bytes: 1024 }],
    [4096, { bytes: 4096 }],
    ['0%', undefined],
    ['101%', undefined],
    ['-5', undefined],
    ['lots', undefined],
    [0, undefined],
  ])('%s is read as %j', (text, expected) => {
    expect(parseMemoryLimit(text)).toEqual(expected);
  });
});
