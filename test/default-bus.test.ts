// Loaded ahead: what a bus loads in the background must not come after the last test.
import './test-bus.js';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { configureShutdown, defaultBus, provisionalBus } from '../src/default-bus.js';
import type { ShutdownBus, ShutdownBusOptions } from '../src/index.js';
import { memoryNotifier } from '../src/testing/memory-notifier.js';

const KEYS = ['shutdown-bus.default', 'shutdown-bus.provisional'].map((name) => Symbol.for(name));
const shared = globalThis as { [key: symbol]: unknown };
const buses = new Set<ShutdownBus>();

afterEach(() => {
  for (const bus of buses) bus.dispose();
  buses.clear();
  for (const key of KEYS) delete shared[key];
});

function kept(bus: ShutdownBus): ShutdownBus {
  buses.add(bus);
  return bus;
}

const quiet: ShutdownBusOptions = {
  exit: false,
  notifiers: [memoryNotifier()],
  logger: { info() {}, warn() {}, error() {} },
};
const provisional = (moved: (bus: ShutdownBus) => void = () => {}) => kept(provisionalBus(moved));
const configured = (options = quiet) => kept(configureShutdown(options));

/** How many listeners the process has for what ends it. */
const listeners = () =>
  ['SIGTERM', 'SIGINT', 'uncaughtException', 'unhandledRejection', 'exit'].map((name) =>
    process.listenerCount(name),
  );
const plus = (counts: readonly number[], more: number) => counts.map((count) => count + more);

describe('the default bus', () => {
  it('is made at first use, and is one', () => {
    const before = listeners();
    const bus = kept(defaultBus());
    expect(listeners()).toEqual(plus(before, 1));
    expect(defaultBus()).toBe(bus);
    expect(listeners()).toEqual(plus(before, 1));
  });

  it('can be configured before its first use, and only then', () => {
    const bus = configured({ ...quiet, budgetMs: 1234 });
    expect(defaultBus()).toBe(bus);
    expect(bus.config.budgetMs).toBe(1234);
    expect(() => configureShutdown(quiet)).toThrow(expect.objectContaining({ code: 'ALREADY_CONFIGURED' }));
  });
});

describe('a provisional bus', () => {
  it('is one, whoever asks', () => {
    const before = listeners();
    expect(provisional()).toBe(provisional());
    expect(listeners()).toEqual(plus(before, 1));
  });

  it('stays when somebody uses the default bus, which can be configured no more', () => {
    const moved = vi.fn();
    const bus = provisional(moved);
    expect(defaultBus()).toBe(bus);
    expect(provisional()).toBe(bus);
    expect(() => configureShutdown(quiet)).toThrow(expect.objectContaining({ code: 'ALREADY_CONFIGURED' }));
    expect(moved).not.toHaveBeenCalled();
    expect(bus.ready).toBe(true);
  });

  it('is the default bus where there is one already, for good', () => {
    const moved = vi.fn();
    const bus = configured();
    expect(provisional(moved)).toBe(bus);
    expect(defaultBus()).toBe(bus);
    expect(moved).not.toHaveBeenCalled();
  });

  it('makes way for the one that the application configures: no listener of it stays', () => {
    const before = listeners();
    const first = provisional();
    const second = configured();
    expect(second).not.toBe(first);
    expect(defaultBus()).toBe(second);
    expect(listeners()).toEqual(plus(before, 1));
    second.dispose();
    expect(listeners()).toEqual(before);
  });

  it('runs no handlers any more when it has made way, and takes no new ones', async () => {
    const first = provisional();
    const handler = vi.fn();
    first.subscribeShutdown(handler, { name: 'of the first' });
    const second = configured();
    const own = vi.fn();
    second.subscribeShutdown(own, { name: 'of the second' });
    const report = await second.requestShutdown();
    expect(handler).not.toHaveBeenCalled();
    expect(own).toHaveBeenCalledTimes(1);
    expect(report.handlers.map(({ name }) => name)).not.toContain('of the first');
    expect(first.state).toBe('running');
    expect(() => first.subscribeShutdown(handler, { name: 'late' })).toThrow(
      expect.objectContaining({ code: 'BUS_DISPOSED' }),
    );
  });

  it('tells who asked for it of the other one, while both are there: nothing comes in between', () => {
    const before = listeners();
    const seen: unknown[] = [];
    const first = provisional((bus) => seen.push(bus, defaultBus(), listeners()));
    first.subscribeShutdown(() => {}, { name: 'to be moved' });
    const second = configured();
    expect(seen).toEqual([second, second, plus(before, 2)]);
  });

  it('is told once', () => {
    const moved = vi.fn();
    provisional(moved);
    configured();
    provisional(moved);
    expect(moved).toHaveBeenCalledTimes(1);
  });

  it('stays where what the application asks for cannot be had', () => {
    const before = listeners();
    const moved = vi.fn();
    const bus = provisional(moved);
    expect(() => configureShutdown({ budgetMs: -1 })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
    expect([moved.mock.calls.length, listeners()]).toEqual([0, plus(before, 1)]);
    expect(provisional()).toBe(bus);
    expect(configured()).not.toBe(bus);
  });

  it('that is ending the process is kept, also when it is done: two would end it twice', async () => {
    for (const untilItIsDone of [false, true]) {
      const moved = vi.fn();
      const bus = provisional(moved);
      const ended = bus.simulate({ kind: 'signal', signal: 'SIGTERM' });
      if (untilItIsDone) await ended;
      expect(bus.state).toBe(untilItIsDone ? 'stopped' : 'stopping');
      const before = listeners();
      expect(configured({ ...quiet, budgetMs: 1234 })).toBe(bus);
      expect(defaultBus()).toBe(bus);
      expect(moved).not.toHaveBeenCalled();
      expect(listeners()).toEqual(before);
      await ended;
      for (const key of KEYS) delete shared[key];
    }
  });
});
