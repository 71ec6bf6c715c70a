import type * as Fs from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { spawnChild } from '../../children/index.js';
import { quietBus } from '../quiet-bus.js';

const proc = vi.hoisted(() => ({ looks: 0, fails: undefined as 'list' | 'file' | undefined }));

// The real /proc, but for a machine that has no file descriptor left.
vi.mock('node:fs', async (importOriginal) => {
  const fs = await importOriginal<typeof Fs>();
  const fail = () => {
    throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
  };
  return {
    ...fs,
    readdirSync: (...args: Parameters<typeof fs.readdirSync>) => {
      proc.looks += 1;
      return proc.fails === 'list' ? fail() : fs.readdirSync(...args);
    },
    readFileSync: (...args: Parameters<typeof fs.readFileSync>) =>
      proc.fails === 'file' && String(args[0]).endsWith('/stat') ? fail() : fs.readFileSync(...args),
  };
});

const undo: (() => unknown)[] = [];
afterEach(() => {
  Object.assign(proc, { looks: 0, fails: undefined });
  for (const step of undo.splice(0).reverse()) step();
});

/** A child that leaves at once, and somebody it has started who ignores SIGTERM. */
async function leftGroup() {
  const stays = `process.on('SIGTERM', () => {}); setTimeout(() => {}, 60000); console.log('stays');`;
  const leaves = `require('node:child_process')
    .spawn(process.execPath, ['-e', ${JSON.stringify(stays)}], { stdio: ['ignore', 'pipe', 'ignore'] })
    .stdout.once('data', () => process.exit(0));`;
  const child = spawnChild(process.execPath, ['-e', leaves], { bus: quietBus(), stdio: 'ignore' });
  undo.push(() => child.kill());
  await new Promise((resolve) => child.process.once('exit', resolve));
  return child;
}

describe('a group whose leader has left', () => {
  it.runIf(process.platform === 'linux').each(['list', 'file'] as const)(
    'no file can be opened to look at who is left (%s): whoever can be signalled counts, and is ended',
    async (fails) => {
      const child = await leftGroup();
      proc.fails = fails;
      let hasEnded = false;
      void child.ended.then(() => {
        hasEnded = true;
      });
      const stopped = child.stop({ timeoutMs: 300 });
      await vi.waitFor(() => expect(proc.looks).toBeGreaterThan(3), { timeout: 5000 });
      expect(hasEnded).toBe(false);
      expect(await stopped).toMatchObject({ code: 0, by: 'killed' });
    },
  );

  it.runIf(process.platform === 'linux')('the looks at /proc become fewer while it lasts', async () => {
    const child = await leftGroup();
    proc.looks = 0;
    expect(await child.stop({ timeoutMs: 1500 })).toMatchObject({ by: 'killed' });
    expect(proc.looks).toBeGreaterThan(5);
    expect(proc.looks).toBeLessThan(30);
  });
});
