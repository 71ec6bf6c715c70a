import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { showTitle } from '../../supervisor/manners/process-title.js';
import { type Bundle, bundle } from './bundle.js';
import { start } from './child.js';

let title: Bundle;
beforeAll(async () => {
  title = await bundle('supervisor/manners/process-title.ts', 'alone');
  return () => title.remove();
});

const TITLES: Parameters<typeof showTitle>[0][] = [
  { role: 'primary', exec: '/srv/app.js', workers: 2 },
  { role: 'primary', exec: '/srv/app.js', workers: 12 },
  { role: 'primary', exec: '/srv/app.js', workers: 12, isStopping: true },
];
const SHOWN = [
  'shutdown-bus: primary app.js (2 workers)',
  'shutdown-bus: primary app.js (12 workers)',
  'shutdown-bus: primary app.js (12 workers) stopping',
];

const variables = () => ({ TITLE: title.path, TITLES: JSON.stringify(TITLES) });

function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0+$/, '');
}

describe.skipIf(process.platform !== 'linux')('the title of a real process', () => {
  it('shows its state, as it changes; nothing of its environment is overwritten', async () => {
    const child = start('shows-title.js', { env: variables(), args: ['and', 'some', 'room'] });
    onTestFinished(() => child.kill('SIGKILL'));
    const pid = child.process.pid as number;
    const environment = readFileSync(`/proc/${pid}/environ`);
    for (const [index, shown] of SHOWN.entries()) {
      if (index > 0) child.process.stdin?.write('\n');
      await child.line(`shown ${index + 1}`);
      expect(commandOf(pid)).toBe(shown);
      const ps = spawnSync('ps', ['-o', 'args=', '-p', String(pid)]);
      expect(ps.stdout.toString().trim()).toBe(shown);
    }
    expect(readFileSync(`/proc/${pid}/environ`).equals(environment)).toBe(true);
  });

  it.each([
    { room: 'a short command', args: ['./shows.mjs', '12345'], expected: 'primary app.js' },
    { room: 'a shorter one', args: ['./shows.mjs'], expected: 'primary' },
  ])('says less where the command was short: $room', async ({ args, expected }) => {
    const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    copyFileSync(
      fileURLToPath(new URL('./fixtures/shows-title.js', import.meta.url)),
      join(folder, 'shows.mjs'),
    );
    const child = spawn(process.execPath, args, {
      argv0: 'n',
      cwd: folder,
      env: { ...process.env, ...variables() },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    await vi.waitFor(() => expect(text).toContain('shown 1'), { timeout: 15_000 });
    expect(commandOf(child.pid as number)).toBe(expected);
  });
});
