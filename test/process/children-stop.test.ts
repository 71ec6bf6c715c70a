import { afterEach, describe, expect, it, vi } from 'vitest';
import { type SpawnChildOptions, type SupervisedChild, spawnChild } from '../../children/index.js';
import type { ShutdownBus } from '../../src/index.js';
import { quietBus } from '../quiet-bus.js';

const undo: (() => unknown)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

const PROGRAM = {
  saves: `process.on('SIGTERM', () => { console.log('heard'); setTimeout(() => process.exit(0), 300); });`,
  ignores: `process.on('SIGTERM', () => console.log('heard'));`,
};

type Listening = SupervisedChild & { readonly heard: () => number };

/** A child that listens to SIGTERM, when it does. */
async function listening(
  behaviour: keyof typeof PROGRAM,
  bus: ShutdownBus,
  options: SpawnChildOptions = {},
): Promise<Listening> {
  const program = `${PROGRAM[behaviour]} setTimeout(() => {}, 60000); console.log('ready');`;
  const stdio: ['ignore', 'pipe', 'ignore'] = ['ignore', 'pipe', 'ignore'];
  const child = spawnChild(process.execPath, ['-e', program], { bus, stdio, ...options });
  undo.push(() => child.process.kill('SIGKILL'));
  let text = '';
  child.process.stdout?.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  await vi.waitFor(() => expect(text).toContain('ready'), { timeout: 15_000 });
  return Object.assign(child, { heard: () => text.split('heard').length - 1 });
}

const hears = (child: Listening) =>
  vi.waitFor(() => expect(child.heard()).toBe(1), { timeout: 15_000, interval: 10 });
const stepIn = ({ handlers }: Awaited<ReturnType<ShutdownBus['requestShutdown']>>) =>
  handlers.find(({ name }) => name.startsWith('stop child'));

describe('a stop that is joined', () => {
  it('the child hears once, and both are told the same', async () => {
    const child = await listening('saves', quietBus());
    const closed = new Promise((resolve) => child.process.once('close', resolve));
    const [first, second] = await Promise.all([child.stop(), child.stop()]);
    expect(first).toBe(second);
    expect(first).toMatchObject({ code: 0, signal: null, by: 'asked' });
    expect(child.state).toBe('ended');
    await closed;
    expect(child.heard()).toBe(1);
  });

  it('the shortest time counts: a stop of 0 ms ends one of 50 s', async () => {
    const child = await listening('ignores', quietBus());
    const first = child.stop({ timeoutMs: 50_000 });
    await hears(child);
    expect(await child.stop({ timeoutMs: 0 })).toMatchObject({ by: 'killed', signal: 'SIGKILL' });
    expect((await first).tookMs).toBeLessThan(30_000);
    expect(child.heard()).toBe(1);
  });

  it('negative twin: a longer time does not lengthen it', async () => {
    const child = await listening('ignores', quietBus());
    void child.stop({ timeoutMs: 400 });
    const { by, tookMs } = await child.stop({ timeoutMs: 50_000 });
    expect(by).toBe('killed');
    expect(tookMs).toBeGreaterThanOrEqual(400);
    expect(tookMs).toBeLessThan(30_000);
  });

  it('the shutdown has less time than a stop under way: the child ends in its time, before the reports', async () => {
    const bus = quietBus({ budgetMs: 4000, reserveMs: 1000 });
    const child = await listening('ignores', bus, { timeoutMs: 300 });
    void child.stop({ timeoutMs: 50_000 });
    await hears(child);
    const step = stepIn(await bus.requestShutdown());
    expect(step).toMatchObject({ outcome: 'done', details: { by: 'killed' } });
    expect(step?.durationMs).toBeLessThan(2500);
  });

  it('a stop by the service ends the wait for a signal that somebody else was to send', async () => {
    const bus = quietBus({ budgetMs: 60_000 });
    const child = await listening('saves', bus, { signalled: true, timeoutMs: 40_000 });
    const report = bus.requestShutdown();
    await vi.waitFor(() => expect(child.state).toBe('stopping'));
    expect(await child.stop({ timeoutMs: 40_000 })).toMatchObject({ by: 'asked', code: 0 });
    expect(child.heard()).toBe(1);
    expect(stepIn(await report)).toMatchObject({ outcome: 'done' });
  });
});

describe('a child that is released while it is being stopped', () => {
  it('is not killed, and the shutdown does not wait for it', async () => {
    const bus = quietBus({ budgetMs: 4000 });
    const child = await listening('ignores', bus, { timeoutMs: 500 });
    const report = bus.requestShutdown();
    await hears(child);
    child.release();
    expect(stepIn(await report)).toMatchObject({ outcome: 'done' });
    // Its time is over when one that was asked later has had the same.
    const other = await listening('ignores', quietBus(), { timeoutMs: 500 });
    expect(await other.stop()).toMatchObject({ by: 'killed' });
    expect(child.process.kill(0)).toBe(true);
  });

  it('hears nothing when its signal was still held back, nor when it is stopped afterwards', async () => {
    const bus = quietBus({ budgetMs: 4000 });
    const child = await listening('ignores', bus, { signalled: true, timeoutMs: 400 });
    const report = bus.requestShutdown();
    await vi.waitFor(() => expect(child.state).toBe('stopping'));
    child.release();
    await report;
    void child.stop({ timeoutMs: 0 });
    const other = await listening('ignores', quietBus(), { timeoutMs: 500 });
    await other.stop();
    expect(child.heard()).toBe(0);
    expect(child.process.kill(0)).toBe(true);
    child.process.kill('SIGKILL');
    expect(await child.ended).toMatchObject({ signal: 'SIGKILL' });
  });
});

describe('an event loop that is blocked while a child is being stopped', () => {
  // Blocked there, timers come before what the operating system has to tell.
  const block = (ms: number) =>
    new Promise<void>((resolve) => {
      setImmediate(() => {
        const until = performance.now() + ms;
        while (performance.now() < until);
        resolve();
      });
    });

  it.each([true, false])(
    'the child ended in its time, and is not called killed (group: %s)',
    async (group) => {
      const child = await listening('saves', quietBus(), { timeoutMs: 700, group });
      const stopped = child.stop();
      await hears(child);
      await block(2000);
      expect(await stopped).toMatchObject({ code: 0, signal: null, by: 'asked' });
    },
  );

  it('the same at the end of its share of a shutdown', async () => {
    const bus = quietBus({ budgetMs: 3000, reserveMs: 1000, releaseReserveMs: 0, interruptGraceMs: 0 });
    const child = await listening('saves', bus, { timeoutMs: 50_000 });
    const report = bus.requestShutdown();
    await hears(child);
    await block(2500);
    await report;
    expect(await child.ended).toMatchObject({ code: 0, signal: null, by: 'asked' });
  });

  it('negative twin: one that did not end in its time is', async () => {
    const child = await listening('ignores', quietBus(), { timeoutMs: 700 });
    const stopped = child.stop();
    await hears(child);
    await block(1000);
    expect(await stopped).toMatchObject({ code: null, signal: 'SIGKILL', by: 'killed' });
  });
});
