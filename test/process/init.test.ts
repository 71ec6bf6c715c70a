import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { beInit, INIT_NAME, INIT_SCRIPT } from '../../supervisor/manners/init.js';
import { type Bundle, bundle } from './bundle.js';
import { type Child, start } from './child.js';
import { CONTAINED, childrenOf, countZombies, firstProcessOf, uncontained } from './container.js';

let withKoffi: Bundle;
let alone: Bundle;
beforeAll(async () => {
  withKoffi = await bundle('supervisor/manners/init.ts', 'with packages');
  alone = await bundle('supervisor/manners/init.ts', 'alone');
});
afterAll(() => {
  withKoffi.remove();
  alone.remove();
});

interface Facts {
  readonly pid: number;
  readonly right: number;
  readonly of: number;
  readonly thread?: number;
  readonly blocked?: boolean;
}

async function startService(env: NodeJS.ProcessEnv, init: readonly string[] = []) {
  const child = start('first-process.js', { env, through: [...CONTAINED, ...init] });
  await child.line('ready {');
  const [, json = ''] = /^ready (.*)$/m.exec(child.texts().stdout) ?? [];
  return { child, facts: JSON.parse(json) as Facts };
}

const noZombies = (child: Child) => zombies(child, 0);
async function zombies({ process }: Child, wanted: number): Promise<void> {
  const first = firstProcessOf(process);
  await vi.waitFor(() => expect(countZombies(first)).toBe(wanted), { timeout: 15_000, interval: 50 });
}

/** Twice as long as it would take to wait for them. */
const pause = () => new Promise((resolve) => setTimeout(resolve, 2000));

async function endOf(child: Child, signal: NodeJS.Signals = 'SIGTERM') {
  process.kill(firstProcessOf(child.process), signal);
  return (await child.ended).code;
}

const hasExecve = 'execve' in process;
const noExecve = hasExecve ? '' : ` (skipped: Node ${process.versions.node} has no process.execve)`;

describe('process 1 of a container', () => {
  it('elsewhere nothing is done', () => {
    expect(beInit({ info: expect.unreachable, warn: expect.unreachable })).toBeUndefined();
  });

  it.skipIf(uncontained)(
    `negative twin: without it what others leave stays as zombies${uncontained}`,
    async () => {
      const { child, facts } = await startService({ CHILDREN: '20' });
      expect(facts).toEqual({ pid: 1, right: 21, of: 21 });
      await zombies(child, 21);
      await pause();
      await zombies(child, 21);
      expect(await endOf(child)).toBe(42);
    },
  );

  it.skipIf(uncontained)(
    `with koffi: orphans are waited for while all of 200 own children keep their status, also those of a blocked loop and a blocked thread${uncontained}`,
    async () => {
      const env = { INIT: withKoffi.path, CHILDREN: '200', BLOCKED: '1' };
      const { child, facts } = await startService(env);
      expect(facts).toEqual({ pid: 1, right: 210, of: 210, thread: 5, blocked: true });
      await noZombies(child);
      expect(child.texts().stderr).toBe('');
      expect(await endOf(child)).toBe(42);
    },
  );

  it.skipIf(uncontained)(`with koffi: its undo leaves zombies alone again${uncontained}`, async () => {
    const { child } = await startService({ INIT: withKoffi.path, UNDONE: '1', CHILDREN: '20' });
    await zombies(child, 21);
    await pause();
    await zombies(child, 21);
    expect(await endOf(child)).toBe(42);
  });

  it.skipIf(uncontained || !hasExecve)(
    `without koffi a shell takes the place of process 1, and the service runs as its child${uncontained}${noExecve}`,
    async () => {
      const { child, facts } = await startService({ INIT: alone.path, CHILDREN: '20' });
      expect(facts).toMatchObject({ right: 21, of: 21 });
      expect(facts.pid).not.toBe(1);
      await noZombies(child);
      expect(child.texts().stderr).toContain(`process 1 becomes a shell that waits for the processes`);
      expect(await endOf(child)).toBe(42);
    },
  );

  it.skipIf(uncontained || hasExecve)('without koffi and process.execve a line says what helps', async () => {
    const { child } = await startService({ INIT: alone.path });
    expect(child.texts().stderr).toMatch(
      /^warning: .* stay as zombies \(koffi is not installed.*; Node .* has no process\.execve\); what helps: npm install koffi, /,
    );
    expect(await endOf(child)).toBe(42);
  });
});

const SHELLS = [['/bin/dash'], ['/bin/bash', '--posix'], ['/bin/busybox', 'sh'], ['/bin/sh']].filter(
  ([path]) => existsSync(path as string),
);

describe.skipIf(uncontained).each(SHELLS.map((shell) => ({ shell })))(
  `the shell in the place of process 1: $shell${uncontained}`,
  ({ shell }) => {
    const init = [...shell, '-c', INIT_SCRIPT, INIT_NAME];

    it('waits for orphans, and ends with the code of the service', async () => {
      const { child, facts } = await startService({ CHILDREN: '20' }, init);
      expect(facts).toMatchObject({ right: 21, of: 21 });
      await noZombies(child);
      expect(await endOf(child)).toBe(42);
    });

    it('hands every signal on, once, and goes on', async () => {
      const { child } = await startService({}, init);
      const signals = ['SIGHUP', 'SIGINT', 'SIGUSR2', 'SIGWINCH', 'SIGCONT', 'SIGHUP'] as const;
      for (const [index, signal] of signals.entries()) {
        process.kill(firstProcessOf(child.process), signal);
        await child.line(`heard ${index + 1} ${signal}\n`);
      }
      expect(await endOf(child)).toBe(42);
      expect(child.texts().stdout.match(/heard/g)).toHaveLength(signals.length);
    });

    it('ends with 128 + n where a signal ended the service', async () => {
      const { child } = await startService({}, init);
      expect(await endOf(child, 'SIGABRT')).toBe(134);
    });
  },
);

const hasScript = spawnSync('script', ['--version']).status === 0;
const noTerminal = hasScript ? uncontained : ' (skipped: no program `script`, which makes terminals)';

it.skipIf(noTerminal)(
  `on a terminal Ctrl-C reaches the service once: not by the shell as well${noTerminal}`,
  async () => {
    const fixture = fileURLToPath(new URL('./fixtures/first-process.js', import.meta.url));
    // `script` has the user's shell run it, and not every shell gives up its place to its only command by itself.
    const command = `exec ${CONTAINED.join(' ')} sh -c "$SCRIPT" ${INIT_NAME} ${process.execPath} ${fixture}`;
    const terminal = spawn('script', ['-qfec', command, '/dev/null'], {
      env: { ...process.env, SCRIPT: INIT_SCRIPT },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    onTestFinished(() => void terminal.kill('SIGKILL'));
    let text = '';
    terminal.stdout.on('data', (chunk) => (text += chunk));
    const ended = new Promise((resolve) => terminal.on('exit', resolve));
    void ended.then((code) => {
      text += `[ended with ${code}]`;
    });
    const said = (line: string) =>
      expect(text.includes(line), `${line} in ${JSON.stringify(text)}`).toBe(true);
    const says = (line: string) => vi.waitFor(() => said(line), { timeout: 15_000 });
    await says('ready {');
    terminal.stdin.write('\x03');
    await says('heard 1 SIGINT');
    const [unshare = 0] = childrenOf(terminal.pid as number);
    process.kill(firstProcessOf({ pid: unshare }), 'SIGHUP');
    await says('heard 2 SIGHUP');
    process.kill(firstProcessOf({ pid: unshare }), 'SIGTERM');
    expect(await ended).toBe(42);
  },
);
