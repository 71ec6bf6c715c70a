import { type ChildProcess, spawn } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import { CHILD_DEFAULTS, spawnChild, superviseChild } from '../../children/index.js';
import { quietBus } from '../quiet-bus.js';

const undo: (() => unknown)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

function sleeper(options: object = {}): ChildProcess {
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'], {
    stdio: 'ignore',
    ...options,
  });
  undo.push(() => child.kill('SIGKILL'));
  return child;
}

describe('the options of a child', () => {
  it('D10 D23: the documented defaults', () => {
    expect(CHILD_DEFAULTS).toEqual({ signal: 'SIGTERM', timeoutMs: 3000, order: 'children-first' });
  });

  it('a bad option is refused with all that is wrong, and the child is left alone', () => {
    const child = sleeper();
    const options = { signal: 'TERM', timeoutMs: -1, order: 'first', timeoutms: 3, signalled: 1 } as object;
    expect(() => superviseChild(child, { bus: quietBus(), ...options })).toThrow(
      expect.objectContaining({
        code: 'INVALID_OPTION',
        message: expect.stringMatching(
          /"timeoutms" is no option.*signal is "TERM", allowed: .*SIGTERM.*timeoutMs is -1.*order is "first", allowed: children-first, service-first.*signalled is 1/,
        ),
      }),
    );
    expect(child.killed).toBe(false);
  });

  it.each([
    [undefined, 'undefined'],
    [{ pid: 4 }, '[object Object]'],
    [4711, '4711'],
  ])('%j is no child', (wrong, shown) => {
    expect(() => superviseChild(wrong as never)).toThrow(`the child is ${shown}, allowed: what spawn, fork`);
  });

  it('order and priority exclude each other', () => {
    const options = { bus: quietBus(), order: 'service-first', priority: 4 } as const;
    expect(() => superviseChild(sleeper(), options)).toThrow(
      'order and priority are given, allowed: one of them',
    );
  });

  it.runIf(process.platform === 'linux')('a group needs a child that leads one', () => {
    const bus = quietBus();
    expect(() => superviseChild(sleeper(), { bus, group: true })).toThrow(
      /process \d+ belongs to the group of \d+; start it with \{ detached: true \}, or use spawnChild/,
    );
    expect(superviseChild(sleeper({ detached: true }), { bus, group: true }).state).toBe('running');
  });

  it('a program that cannot be started is no error of the process: the child has ended', async () => {
    const bus = quietBus();
    const child = spawnChild('/no/such/program', [], { bus });
    expect(await child.ended).toEqual({ code: null, signal: null, by: 'itself', tookMs: 0 });
    expect(child.pid).toBeUndefined();
    expect((await bus.requestShutdown()).handlers.some(({ name }) => name.includes('stop child'))).toBe(
      false,
    );
  });

  it('the time of a stop is checked, and the child is left alone', () => {
    const child = superviseChild(sleeper(), { bus: quietBus() });
    expect(() => child.stop({ timeoutMs: -1 })).toThrow('timeoutMs is -1, allowed: milliseconds from 0');
    expect([child.state, child.process.killed]).toEqual(['running', false]);
  });
});
