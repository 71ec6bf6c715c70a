import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createShutdownBus } from '../../src/index.js';
import { createFakeClock, memoryNotifier, simulateShutdown } from '../../src/testing/index.js';
import { lineLogger, never } from '../test-bus.js';

const quiet = () => ({ logger: lineLogger(), notifiers: [memoryNotifier()], budgetMs: 9000 });

afterEach(() => {
  vi.useRealTimers();
});

describe('simulateShutdown', () => {
  it('runs ten seconds in simulated time, with handlers that use the global timers, and gives the report', async () => {
    const bus = createShutdownBus(quiet());
    bus.subscribeShutdown(async () => void (await sleep(3000)), { name: 'three seconds', phase: 'intake' });
    bus.subscribeShutdown(never, { name: 'hung' });
    const report = await simulateShutdown(bus, { signal: 'SIGTERM' });
    expect(report.reason).toEqual({ kind: 'signal', signal: 'SIGTERM' });
    expect(report.handlers.find(({ name }) => name === 'three seconds')).toMatchObject({
      outcome: 'done',
      durationMs: 3000,
    });
    expect(report.handlers.find(({ name }) => name === 'hung')?.outcome).toBe('timed-out');
    expect(Math.abs(report.durationMs - 9000)).toBeLessThanOrEqual(1);
    expect(report.exitCode).toBe(1);
  });

  it('the signal comes `after` so many milliseconds: what finishes before is finished', async () => {
    for (const [after, incomplete] of [
      [99, 1],
      [101, 0],
    ] as const) {
      const bus = createShutdownBus({ ...quiet(), interruptGraceMs: 0 });
      const simulated = simulateShutdown(bus, { signal: 'SIGQUIT', after });
      void bus.jobs.run({ type: 'render' }, () => sleep(100));
      expect((await simulated).jobs).toMatchObject({ incomplete });
    }
  });

  it('`at` is the same as `after`, and any reason can be given', async () => {
    const bus = createShutdownBus(quiet());
    const report = await simulateShutdown(bus, {
      reason: { kind: 'memory', usedBytes: 9, limitBytes: 10 },
      at: 50,
    });
    expect(report.reason.kind).toBe('memory');
  });

  it('leaves the process as it was: timers, clock and listeners', async () => {
    const [timeout, now, date] = [globalThis.setTimeout, performance.now(), Date];
    const before = process.listenerCount('SIGTERM');
    const bus = createShutdownBus(quiet());
    expect(process.listenerCount('SIGTERM')).toBe(before + 1);
    await simulateShutdown(bus);
    expect(process.listenerCount('SIGTERM')).toBe(before);
    expect([globalThis.setTimeout, Date]).toEqual([timeout, date]);
    expect(performance.now()).toBeGreaterThan(now);
    expect(performance.now() - now).toBeLessThan(5000);
  });

  it('waits for real files, however far simulated time could go', async () => {
    const { readFile } = await import('node:fs/promises');
    const bus = createShutdownBus(quiet());
    let text = '';
    bus.subscribeShutdown(
      async () => {
        text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
      },
      { name: 'read' },
    );
    const report = await simulateShutdown(bus);
    expect(text).toContain('shutdown-bus');
    expect(report).toMatchObject({ exitCode: 0, durationMs: 0 });
  });

  it('moves the clock of a bus that has one of its own', async () => {
    const clock = createFakeClock();
    const bus = createShutdownBus({ ...quiet(), clock });
    bus.subscribeShutdown(() => new Promise<void>((resolve) => void clock.setTimeout(resolve, 700)), {
      name: 'own clock',
    });
    expect((await simulateShutdown(bus)).durationMs).toBe(700);
    expect(clock.now()).toBe(700);
  });

  it('uses the fake timers that a test framework has installed', async () => {
    vi.useFakeTimers();
    const bus = createShutdownBus(quiet());
    bus.subscribeShutdown(() => new Promise<void>((resolve) => void setTimeout(resolve, 500)), {
      name: 'vi',
    });
    expect((await simulateShutdown(bus)).durationMs).toBe(500);
    expect(vi.isFakeTimers()).toBe(true);
  });
});
