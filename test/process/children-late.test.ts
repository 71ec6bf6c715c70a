import { spawn } from 'node:child_process';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Guard } from '../../children/guard.js';
import { type ChildOptions, type SupervisedChild, spawnChild, superviseChild } from '../../children/index.js';
import type { ShutdownBus } from '../../src/index.js';
import { quietBus } from '../quiet-bus.js';

const undo: (() => unknown)[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  for (const step of undo.splice(0).reverse()) step();
});

const SAVES = [
  '-e',
  `process.on('SIGTERM', () => setTimeout(() => process.exit(0), 300)); setTimeout(() => {}, 60000); console.log('ready');`,
];

const STARTS = {
  spawnChild: (options: ChildOptions) =>
    spawnChild(process.execPath, SAVES, { ...options, stdio: ['ignore', 'pipe', 'ignore'] }),
  superviseChild: (options: ChildOptions) => {
    const child = spawn(process.execPath, SAVES, { stdio: ['ignore', 'pipe', 'ignore'] });
    return superviseChild(child, options);
  },
};

async function startWith(how: keyof typeof STARTS, options: ChildOptions): Promise<SupervisedChild> {
  const child = STARTS[how](options);
  undo.push(() => child.process.kill('SIGKILL'));
  await new Promise((resolve) => child.process.stdout?.once('data', resolve));
  return child;
}

const stepsIn = ({ handlers }: Awaited<ReturnType<ShutdownBus['requestShutdown']>>) =>
  handlers.filter(({ name }) => name.startsWith('stop child'));

describe.each(['spawnChild', 'superviseChild'] as const)('a child of %s that is started late', (how) => {
  it.each([
    ['in the drain', { phase: 'drain' }, 199],
    ['in the release phase', { phase: 'release' }, -1],
    ['behind everything', { priority: -100 }, -101],
  ] as const)('%s: it is ended in this shutdown, and guarded until then', async (_, place, priority) => {
    const forget = vi.spyOn(Guard.prototype, 'forget');
    const bus = quietBus();
    let child: SupervisedChild | undefined;
    let isForgotten: boolean | undefined;
    const starts = async () => {
      child = await startWith(how, { bus });
      isForgotten = forget.mock.calls.flat().includes(child.pid as number);
    };
    bus.subscribeShutdown(starts, { name: 'starts one', ...place });
    const steps = stepsIn(await bus.requestShutdown());
    expect(steps).toMatchObject([{ priority, outcome: 'done', details: { by: 'asked', code: 0 } }]);
    expect(isForgotten).toBe(false);
    expect(child?.state).toBe('ended');
  });

  it('between the trigger and the first handler: in its own place', async () => {
    const bus = quietBus();
    const report = bus.requestShutdown();
    STARTS[how]({ bus });
    expect(stepsIn(await report)).toMatchObject([{ priority: 200, outcome: 'done' }]);
  });

  it('when the shutdown is over: the error, and it is ended', async () => {
    const bus = quietBus();
    await bus.requestShutdown();
    const watch = vi.spyOn(Guard.prototype, 'watch');
    expect(() => STARTS[how]({ bus })).toThrow(expect.objectContaining({ code: 'PHASE_PAST' }));
    const pid = watch.mock.calls[0]?.[0].pid as number;
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'), { timeout: 15_000 });
  });
});

describe('service-first', () => {
  const plan = async (options: ChildOptions) => {
    const bus = quietBus({ budgetMs: 4000, reserveMs: 500 });
    bus.subscribeShutdown(() => new Promise(() => {}), { name: 'never settles' });
    await startWith('spawnChild', { bus, ...options });
    return stepsIn(await bus.requestShutdown())[0];
  };

  it('a handler that never settles leaves the child its time', async () => {
    const step = await plan({ order: 'service-first', timeoutMs: 1000 });
    expect(step).toMatchObject({ outcome: 'done', details: { by: 'asked', code: 0 } });
  });

  it('a child with more time than there is leaves half of it to the handlers', async () => {
    const bus = quietBus({ budgetMs: 4000, reserveMs: 500, releaseReserveMs: 500, interruptGraceMs: 0 });
    let hadMs = 0;
    bus.subscribeShutdown(({ remainingMs }) => void (hadMs = remainingMs()), { name: 'job', phase: 'drain' });
    await startWith('spawnChild', { bus, order: 'service-first', timeoutMs: 60_000 });
    await bus.requestShutdown();
    expect(hadMs).toBeGreaterThan(1000);
    expect(hadMs).toBeLessThanOrEqual(1500);
  });
});
