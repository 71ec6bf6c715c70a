import { describe, expect, it } from 'vitest';
import { parseMemoryLimit } from '../../src/config/values.js';
import type { ShutdownReason } from '../../src/index.js';
import { createFakeClock } from '../../src/testing/fake-clock.js';
import { containerLimit, readMemory, watchMemory } from '../../src/triggers/memory.js';
import { createTestBus, pass } from '../test-bus.js';

function watched(uses: number[], share = 0.9) {
  const clock = createFakeClock();
  const reasons: [number, ShutdownReason][] = [];
  let look = 0;
  const read = () => [{ usedBytes: uses[Math.min(look++, uses.length - 1)] as number, limitBytes: 1000 }];
  const stop = watchMemory(
    { clock, intervalMs: 1000, share, read },
    (reason) => void reasons.push([clock.now(), reason]),
  );
  return { clock, reasons, stop };
}

describe('the memory watch', () => {
  it('A01: rising through the threshold begins the shutdown with reason memory', async () => {
    const { clock, reasons } = watched([800, 950, 960, 970]);
    await clock.advance(10_000);
    expect(reasons).toEqual([[3000, { kind: 'memory', usedBytes: 960, limitBytes: 1000 }]]);
  });

  it('one spike that goes back ends nothing', async () => {
    const { clock, reasons } = watched([950, 800, 950, 800]);
    await clock.advance(10_000);
    expect(reasons).toEqual([]);
  });

  it('exactly at the threshold is still allowed, one byte more is not', async () => {
    for (const [used, count] of [
      [900, 0],
      [901, 1],
    ] as const) {
      const { clock, reasons } = watched([used]);
      await clock.advance(10_000);
      expect(reasons).toHaveLength(count);
    }
  });

  it('stopped it looks no more', async () => {
    const { clock, reasons, stop } = watched([950]);
    stop();
    await clock.advance(10_000);
    expect(reasons).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('A01: a bus over its limit reports its jobs, with reason memory', async () => {
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

  it('reads the heap, and the container or the given limit against what is resident', () => {
    const [heap, resident] = readMemory(123);
    expect(heap?.usedBytes).toBeGreaterThan(1e6);
    expect(heap?.limitBytes).toBeGreaterThan(heap?.usedBytes as number);
    expect(resident).toMatchObject({ limitBytes: 123 });
    expect(resident?.usedBytes).toBeGreaterThan(1e7);
  });

  it('reads both versions of cgroups and knows what is no limit', () => {
    const files = (content: Record<string, string>) => (path: string) => {
      if (content[path] === undefined) throw new Error('ENOENT');
      return content[path];
    };
    const v2 = '/sys/fs/cgroup/memory.max';
    const v1 = '/sys/fs/cgroup/memory/memory.limit_in_bytes';
    expect(containerLimit(files({ [v2]: '536870912\n' }))).toBe(536_870_912);
    expect(containerLimit(files({ [v1]: '1000000' }))).toBe(1_000_000);
    expect(containerLimit(files({ [v2]: 'max\n' }))).toBeUndefined();
    expect(containerLimit(files({ [v1]: '9223372036854771712' }))).toBeUndefined();
    expect(containerLimit(files({}))).toBeUndefined();
  });

  it.each([
    ['90%', { share: 0.9 }],
    ['400MiB', { bytes: 400 * 2 ** 20 }],
    ['1.5gb', { bytes: 1.5e9 }],
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
