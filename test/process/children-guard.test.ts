import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Guard } from '../../children/guard.js';
import { GUARD_SCRIPT } from '../../children/guard-script.js';

const undo: (() => unknown)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

type Behaviour = 'saves' | 'ignores';

interface Ward {
  readonly pid: number;
  /** What it has said. */
  text(): string;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

const PROGRAM: Readonly<Record<Behaviour, string>> = {
  saves: `process.on('SIGTERM', () => setTimeout(() => { console.log('saved'); process.exit(0); }, 300));`,
  ignores: `process.on('SIGTERM', () => console.log('ignored'));`,
};

/** A child that leads a group, when it listens. */
async function startWard(behaviour: Behaviour, detached = true): Promise<Ward> {
  const program = `${PROGRAM[behaviour]} setTimeout(() => {}, 60000); console.log('ready');`;
  const child = spawn(process.execPath, ['-e', program], { detached, stdio: ['ignore', 'pipe', 'ignore'] });
  undo.push(() => child.kill('SIGKILL'));
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  const ended = new Promise<Awaited<Ward['ended']>>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  await vi.waitFor(() => expect(text).toContain('ready'), { timeout: 15_000 });
  return { pid: child.pid as number, text: () => text, ended };
}

function startShell(command: readonly string[], env = process.env): ChildProcess {
  const [program, ...args] = command as [string, ...string[]];
  const stdio: ['pipe', 'ignore', 'ignore'] = ['pipe', 'ignore', 'ignore'];
  const shell = spawn(program, [...args, '-c', GUARD_SCRIPT, 'guard'], { detached: true, env, stdio });
  undo.push(() => shell.kill('SIGKILL'));
  return shell;
}

const exitOf = (shell: ChildProcess) => new Promise((resolve) => shell.once('exit', resolve));

const SHELLS: readonly (readonly string[])[] = [
  ['/bin/sh'],
  ['bash'],
  ['bash', '--posix'],
  ['busybox', 'sh'],
];

describe.each(SHELLS.map((shell) => [shell.join(' '), shell] as const))(
  'the guard under %s',
  (name, shell) => {
    const isMissing = spawnSync(shell[0] as string, [...shell.slice(1), '-c', ':']).status !== 0;

    // Each machine has its own shells: the reason of a skip is in its name.
    it.skipIf(isMissing)(
      `${isMissing ? `(skipped: ${name} is not installed here) ` : ''}signal, time, SIGKILL, for one process and for a group`,
      async () => {
        const [saves, ignores, single] = await Promise.all([
          startWard('saves'),
          startWard('ignores'),
          startWard('ignores', false),
        ]);
        const forgotten = await startWard('saves');
        const guard = startShell(shell);
        guard.stdin?.write(`+ -${saves.pid} 15 50\n+ -${ignores.pid} 0 50\n+ -${ignores.pid} 15 5\n`);
        guard.stdin?.write(`+ -${forgotten.pid} 15 5\n+ ${single.pid} 15 5\n- -${forgotten.pid}\n`);
        guard.stdin?.end();
        expect(await saves.ended).toEqual({ code: 0, signal: null });
        expect(await ignores.ended).toEqual({ code: null, signal: 'SIGKILL' });
        expect(await single.ended).toEqual({ code: null, signal: 'SIGKILL' });
        expect([saves, ignores, single].map(({ text }) => text())).toEqual([
          'ready\nsaved\n',
          'ready\nignored\n',
          'ready\nignored\n',
        ]);
        await exitOf(guard);
        expect(forgotten.text()).toBe('ready\n');
        expect(process.kill(forgotten.pid, 0)).toBe(true);
      },
    );
  },
);

describe('the time of the guard', () => {
  it('a sleep without fractions costs nobody his time: SIGKILL comes after 2 s, not after 20', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
    undo.push(() => rmSync(folder, { recursive: true }));
    const program = '#!/bin/sh\ncase $1 in *.*) exit 1 ;; esac\nPATH=/bin:/usr/bin exec sleep "$1"\n';
    writeFileSync(join(folder, 'sleep'), program, { mode: 0o755 });
    const ward = await startWard('ignores');
    const guard = startShell(['/bin/sh'], { PATH: folder });
    const startedAt = performance.now();
    guard.stdin?.end(`+ -${ward.pid} 15 20\n`);
    expect(await ward.ended).toEqual({ code: null, signal: 'SIGKILL' });
    const tookMs = performance.now() - startedAt;
    expect(tookMs).toBeGreaterThan(1500);
    expect(tookMs).toBeLessThan(10_000);
  });
});

describe('a guard that cannot do its work', () => {
  const ward = { pid: 2 ** 22 + 1, group: false, signal: 'SIGTERM', timeoutMs: 1000 } as const;

  it('no shell can be started: each child is another chance, five in all, and each failure is said', async () => {
    const lines: string[] = [];
    const guard = new Guard((line) => lines.push(line), '/no/such/shell');
    for (let chance = 1; chance <= 5; chance += 1) {
      guard.watch(ward);
      await vi.waitFor(() => expect(lines).toHaveLength(chance));
      expect(lines.at(-1)).toMatch(/no shell can be started to watch over them: .*ENOENT/);
    }
    guard.watch(ward);
    guard.watch(ward);
    expect(lines.slice(5)).toEqual([expect.stringContaining('was started 5 times, and none is left')]);
  });

  it('spawn throws: nobody else fails by it', () => {
    const lines: string[] = [];
    // A zero byte in a path is refused before anything is started.
    const guard = new Guard((line) => lines.push(line), '/bin/\0sh');
    expect(() => guard.watch(ward)).not.toThrow();
    expect(lines).toEqual([expect.stringContaining('no shell can be started to watch over them')]);
  });

  it('a shell that ends each time it is started is given up, and that is said once', async () => {
    const lines: string[] = [];
    const guard = new Guard((line) => lines.push(line), '/bin/false');
    guard.watch(ward);
    await vi.waitFor(() => expect(lines).toHaveLength(1), { timeout: 15_000 });
    expect(lines[0]).toContain('was started 5 times, and none is left');
  });
});
