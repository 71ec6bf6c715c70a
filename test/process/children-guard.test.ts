import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { afterEach, describe, expect, it, vi } from 'vitest';
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
