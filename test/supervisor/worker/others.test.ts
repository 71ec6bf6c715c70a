import { afterEach, describe, expect, it } from 'vitest';
import { asOwn } from '../../../src/triggers/own-listener.js';
import { watchOthers } from '../../../supervisor/worker/others.js';

const undo: (() => void)[] = [];
afterEach(() => {
  for (const step of undo.splice(0)) step();
});

const SIGNAL = 'SIGPROF';
function hear(listener: () => void = () => {}, how: 'on' | 'once' = 'on'): () => void {
  process[how](SIGNAL, listener);
  const off = () => void process.off(SIGNAL, listener);
  undo.push(off);
  return off;
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** One whose own listeners are taken off again. */
function watch() {
  // The types know only signals.
  const { listeners } = process as unknown as { listeners(event: string): (() => void)[] };
  const all = () => ['newListener', 'removeListener'].flatMap((event) => listeners.call(process, event));
  const before = all();
  const others = watchOthers();
  undo.push(() => {
    for (const listener of all().filter((one) => !before.includes(one)))
      for (const event of ['newListener', 'removeListener']) process.off(event, listener);
  });
  return others;
}

describe('what an application listens for', () => {
  it('is known from before and from then on, until it listens no more', async () => {
    const first = hear();
    const others = watch();
    const changes: string[] = [];
    others.onChange = (event) => changes.push(event);
    expect([others.hears(SIGNAL), others.hears('SIGTRAP')]).toEqual([true, false]);
    const second = hear();
    first();
    await turn();
    expect(others.hears(SIGNAL)).toBe(true);
    second();
    await turn();
    expect(others.hears(SIGNAL)).toBe(false);
    expect(changes).toEqual([SIGNAL, SIGNAL, SIGNAL]);
  });

  it('also where it listens once, for as long as the others are called', async () => {
    const others = watch();
    let heard: boolean | undefined;
    hear(() => {}, 'once');
    hear(
      asOwn(() => {
        heard = others.hears(SIGNAL);
      }),
    );
    process.emit(SIGNAL);
    expect(heard).toBe(true);
    await turn();
    expect(others.hears(SIGNAL)).toBe(false);
  });

  it('is none of ours', () => {
    const others = watch();
    hear(asOwn(() => {}));
    expect(others.hears(SIGNAL)).toBe(false);
  });

  it.each([
    ['4', globalThis, Symbol.for('signal-exit emitter')],
    ['3', process, '__signal_exit_emitter__'],
  ])('nor is signal-exit %s: it leaves the end to others', (_version, place, key) => {
    const others = watch();
    hear();
    expect(others.hears(SIGNAL)).toBe(true);
    const had = (place as Record<string | symbol, unknown>)[key];
    // Version 4 may be loaded by the test runner itself, for good.
    const emitter = (had ?? { count: 0 }) as { count: number };
    if (had === undefined)
      Object.defineProperty(place, key, { value: emitter, configurable: true, writable: true });
    emitter.count += 1;
    try {
      expect(others.hears(SIGNAL)).toBe(false);
    } finally {
      emitter.count -= 1;
      if (had === undefined) Reflect.deleteProperty(place, key);
    }
  });
});
