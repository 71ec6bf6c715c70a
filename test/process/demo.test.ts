import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';

const script = fileURLToPath(new URL('../../demo/run.js', import.meta.url));

let running: ChildProcess[] = [];

afterEach(() => {
  // Not SIGKILL: the demo takes its three processes with it.
  for (const child of running) child.kill('SIGTERM');
  running = [];
});

function start(args: readonly string[]) {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  running.push(child);
  return child;
}

async function play(...args: string[]) {
  const child = start(args);
  const [output, words, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { code, output, words, lines: output.split('\n') };
}

/** The figure behind a name in the table. */
function figure(output: string, name: string): number {
  const found = new RegExp(`${name} +(\\d+)`).exec(output);
  if (!found) throw new Error(`the demo printed no "${name}":\n${output}`);
  return Number(found[1]);
}

const wrong = (lines: readonly string[]) => lines.filter((line) => line.startsWith('  ✗'));

describe('the demo', () => {
  test('ends a service in the middle of 200 jobs and finds every job finished or reported', async () => {
    const { code, output, lines } = await play();
    expect(wrong(lines)).toEqual([]);
    expect(code).toBe(0);
    expect(output).toContain('All sums are right.');
    const [begun, finished, reported] = [
      figure(output, "begun, by B's books"),
      figure(output, "finished, by B's books"),
      figure(output, "reported, by C's books"),
    ];
    expect(begun).toBe(220);
    expect(finished + reported).toBe(220);
    expect(figure(output, '  lost')).toBe(0);
    expect(figure(output, 'dropped')).toBe(0);
    expect(figure(output, 'answered 201, done by B')).toBe(finished);
    expect(figure(output, 'answered 200, reported to C')).toBe(reported);
  });

  test('draws every phase and handler against the budget, in plain text within 100 columns', async () => {
    const { lines, output } = await play('--budget', '3000', '--jobs', '100', '--seed', '7');
    for (const name of ['intake', 'drain', 'deliver', 'release', '  close the database pool'])
      expect(
        lines.some((line) => line.startsWith(`  ${name} `) && /[━╸╺█▌▐].*┃ +[\d.]+ m?s$/.test(line)),
      ).toBe(true);
    expect(output).not.toContain('\x1b');
    expect(lines.filter((line) => line.length > 100)).toEqual([]);
  });

  test('shows that a report without the right signature is refused', async () => {
    const { output } = await play('--budget', '2000', '--jobs', '100', '--late', '0');
    expect(output).toMatch(/C {2}got a forged report and answered 401/);
    expect(output).toMatch(/✓ C refused the forged report +401/);
  });
});

describe('the sums can fail:', () => {
  test('a report that C forgets is a lost job, and it is named', async () => {
    const { code, output } = await play('--sabotage', 'lose-report', '--budget', '2000');
    expect(code).toBe(1);
    expect(figure(output, '  lost')).toBe(1);
    expect(output).toMatch(/✗ begun = finished \+ reported +220 ≠/);
    expect(output).toMatch(/✗ no job is lost +1 \((short|medium|long)-\d{3}\)/);
  });

  test('an answer that B does not give is a dropped request, and it is named', async () => {
    const { code, output, lines } = await play('--sabotage', 'drop-answer', '--budget', '3000');
    expect(code).toBe(1);
    expect(figure(output, 'dropped')).toBe(1);
    expect(output).toMatch(/✗ no request was dropped +1 \((short|medium|long)-\d{3} ECONNRESET\)/);
    expect(wrong(lines)).toHaveLength(2);
  });

  test('a service that plans with more time than it has is killed at ten seconds, and its jobs are lost', async () => {
    const { code, output } = await play('--sabotage', 'overstay');
    expect(code).toBe(1);
    expect(output).toContain('is still there after 10 s and gets SIGKILL');
    expect(output).toMatch(/✗ B was gone before 10 s +10\.\d+ s after the SIGTERM, ended by SIGKILL/);
    expect(figure(output, '  lost')).toBeGreaterThan(20);
    expect(figure(output, 'dropped')).toBe(figure(output, '  lost'));
  });
});

describe('the command line', () => {
  test('--help says what it does, with every option, and does nothing', async () => {
    const { code, output } = await play('--help');
    expect(code).toBe(0);
    for (const option of ['--jobs', '--late', '--seed', '--budget', '--sabotage', '--help', 'NO_COLOR'])
      expect(output).toContain(option);
    expect(output.split('\n').filter((line) => line.length > 100)).toEqual([]);
  });

  test.each([
    { args: ['--speed', '9'], problem: "Unknown option '--speed'" },
    { args: ['--jobs', 'many'], problem: '--jobs is "many", allowed: a whole number from 100 to 500' },
    { args: ['--budget', '1999'], problem: '--budget is "1999", allowed: a whole number from 2000 to 9500' },
    {
      args: ['--sabotage', 'all'],
      problem: '--sabotage is "all", allowed: lose-report, drop-answer, overstay',
    },
  ])('$args is refused in one clear sentence', async ({ args, problem }) => {
    const { code, output, words } = await play(...args);
    expect(code).toBe(2);
    expect(output).toBe('');
    expect(words).toContain(problem);
    expect(words).toContain('node demo/run.js --help');
  });

  test('Ctrl-C takes all three processes away', async () => {
    const child = start([]);
    const port = await new Promise<number>((resolve) => {
      let seen = '';
      child.stdout.on('data', (chunk) => {
        seen += chunk;
        const found = /B {2}the service, pid \d+, 127\.0\.0\.1:(\d+)/.exec(seen);
        if (found) resolve(Number(found[1]));
      });
    });
    const ended = once(child, 'exit');
    child.kill('SIGINT');
    expect(await ended).toEqual([130, null]);
    await expect.poll(() => isRefused(port)).toBe(true);
  });
});

function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', () => resolve(true));
  });
}

describe('colours', () => {
  const paintOf = async (isTTY: boolean, env: Record<string, string>) => {
    const paint = new URL('../../demo/paint.js', import.meta.url).href;
    const code = `const { createPaint } = await import('${paint}');
      console.log(JSON.stringify(createPaint({ isTTY: ${isTTY} })('x', 'red')));`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], { env });
    return JSON.parse(await text(child.stdout));
  };

  test('are for terminals, and not for those whose owner wants none', async () => {
    expect(await paintOf(true, {})).toBe('\x1b[31mx\x1b[0m');
    expect(await paintOf(true, { NO_COLOR: '1' })).toBe('x');
    expect(await paintOf(false, {})).toBe('x');
  });
});
