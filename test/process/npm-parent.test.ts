import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Bundle, bundle } from './bundle.js';
import { pidsWith } from './processes.js';

const FIXTURE = fileURLToPath(new URL('./fixtures/looks-at-parent.js', import.meta.url));

let parent: Bundle;
beforeAll(async () => {
  parent = await bundle('supervisor/manners/npm-parent.ts', 'alone');
  return () => parent.remove();
});

const undo: (() => unknown)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

/** A package whose script `start` is this, started by npm. */
async function npmStart(script: string) {
  const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
  undo.push(() => rmSync(folder, { recursive: true }));
  const about = { name: 'service', version: '1.0.0', scripts: { start: script } };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(about));
  const file = join(folder, 'notes');
  writeFileSync(file, '');
  const npm = spawn('npm', ['start'], {
    cwd: folder,
    env: { ...process.env, NOTES: file, PARENT: parent.path },
    stdio: 'ignore',
  });
  undo.push(() => {
    for (const pid of pidsWith('NOTES', file)) process.kill(pid, 'SIGKILL');
  });
  const notes = () => readFileSync(file, 'utf8').trim().split('\n');
  await vi.waitFor(() => expect(notes()).toContain('ready'), { timeout: 30_000 });
  return { npm, notes };
}

function terminate(npm: ChildProcess): Promise<number | null> {
  npm.kill('SIGTERM');
  return new Promise((resolve) => npm.on('exit', resolve));
}

describe.skipIf(process.platform !== 'linux')('a real npm start', () => {
  // Another command follows, so that no shell takes its own place with the first one.
  it('is warned of when a shell is between: the signal does not come', async () => {
    const { npm, notes } = await npmStart(`node ${FIXTURE}; true`);
    expect(notes()).toEqual([
      expect.stringContaining('"npm run start" has started it by a shell (sh -c node '),
      'ready',
    ]);
    expect(await terminate(npm)).not.toBe(7);
    expect(notes()).not.toContain('SIGTERM');
  });

  it('is not warned of with exec: the signal comes, and npm ends with the code', async () => {
    const { npm, notes } = await npmStart(`exec node ${FIXTURE}`);
    expect(notes()).toEqual(['ready']);
    expect(await terminate(npm)).toBe(7);
    expect(notes()).toEqual(['ready', 'SIGTERM']);
  });
});
