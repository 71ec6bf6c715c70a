import { spawn } from 'node:child_process';
import { afterEach, expect, it, vi } from 'vitest';
import { superviseChild } from '../../children/index.js';
import { quietBus } from '../quiet-bus.js';

// A machine without /proc: nobody can tell who leads a group.
vi.mock('../../children/process-table.js', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  readProcess: () => undefined,
}));

const undo: (() => unknown)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

it.each([
  ['saves', `process.exit(0)`, { code: 0, signal: null, by: 'asked' }],
  ['ignores', `{}`, { code: null, signal: 'SIGKILL', by: 'killed' }],
] as const)(
  'a child that leads no group is ended alone, with a warning: one that %s',
  async (_, does, ending) => {
    const lines: string[] = [];
    const logger = { info: () => {}, warn: (line: string) => lines.push(line), error: () => {} };
    const bus = quietBus({ logger });
    const program = `process.on('SIGTERM', () => ${does}); setTimeout(() => {}, 60000); console.log('ready');`;
    const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'ignore'] });
    undo.push(() => child.kill('SIGKILL'));
    const supervised = superviseChild(child, { bus, group: true, timeoutMs: 500 });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    expect(await supervised.stop()).toMatchObject(ending);
    const warnings = lines.filter((line) => line.includes('leads no process group'));
    expect(warnings).toEqual([expect.stringMatching(/SIGTERM goes to it alone; start it with \{ detached/)]);
  },
);
