import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'rolldown';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Child, start } from './child.js';
import { connectDebugger } from './debugger.js';

const FIXTURE = fileURLToPath(new URL('./fixtures/watched-loop.js', import.meta.url));
const PREFIX = 'shutdown-bus 0123456789ab svc: ';
const BLOCKED = 'the event loop has been blocked for';
const WENT_ON = 'the event loop went on after';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const built = mkdtempSync(join(tmpdir(), 'watch-'));
const module = join(built, 'supervisor/blocked-stack.mjs');

let folder: string;
let gate: string;
const children: Child[] = [];

// In the package it is a part of what is loaded into every worker, and cannot be had alone.
beforeAll(async () => {
  const input = join(ROOT, 'supervisor/blocked-stack/watch.ts');
  await build({ input, platform: 'node', output: { file: module }, logLevel: 'warn' });
  const thread = 'supervisor/blocked-stack-thread.cjs';
  copyFileSync(join(ROOT, 'dist', thread), join(built, thread));
});

afterAll(() => rmSync(built, { recursive: true }));

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'blocked-'));
  gate = join(folder, 'gate');
});

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill('SIGKILL');
    await child.ended;
  }
  rmSync(folder, { recursive: true });
});

function block(settings: object, options: Parameters<typeof start>[1] = {}): Child {
  const child = start('watched-loop.js', { ...options, args: [JSON.stringify({ module, ...settings })] });
  children.push(child);
  return child;
}

/** The lines of the stack that is there when a line with that text is. */
async function stackAfter(child: Child, text: string): Promise<string[]> {
  await child.line(text);
  const lines = child.texts().stderr.split('\n');
  const rest = lines.slice(lines.findIndex((line) => line.includes(text)) + 1);
  const end = rest.findIndex((line) => !line.startsWith(`${PREFIX}    `));
  return rest.slice(0, end).map((line) => line.slice(PREFIX.length));
}

/** `file:line` of the first line of the fixture that contains that text. */
function placeOf(text: string): string {
  const index = readFileSync(FIXTURE, 'utf8')
    .split('\n')
    .findIndex((line) => line.includes(text));
  return `${FIXTURE}:${index + 1}:`;
}

describe('the stack of what blocks the event loop', () => {
  it.each([
    ['inALoop', 'while (!isOpen())'],
    ['inARegularExpression', '/^(a+)+$/.test('],
    ['inAWait', 'Atomics.wait('],
    ['inAnEval', "eval('while"],
    ['inAScript', "runInNewContext('(function inner"],
  ])('C09: names function, file and line: %s', async (how, text) => {
    const child = block({ how });
    const stack = await stackAfter(child, BLOCKED);
    const own = stack.find((line) => line.startsWith(`    at ${how} (`));
    expect(own).toContain(placeOf(text));
    expect(stack.at(-1)).toContain(`at block (${placeOf('ways[how]()')}`);
    // Nothing of the program was called for it.
    expect(child.texts().stderr).not.toContain('the program was called');
  });

  it('C09: of an async function and of microtasks without an end it is what has not returned', async () => {
    for (const how of ['inAnAsyncFunction', 'inMicrotasks']) {
      const stack = await stackAfter(block({ how }), BLOCKED);
      expect(stack.some((line) => line.includes(FIXTURE))).toBe(true);
      expect(stack.join()).toContain(how);
      expect(stack.join()).not.toContain('node:');
    }
  });

  it('of a deep recursion shows its upper end', async () => {
    const stack = await stackAfter(block({ how: 'inARecursion' }), BLOCKED);
    expect(stack).toHaveLength(51);
    expect(stack[0]).toContain('at inARecursion (');
    expect(stack.at(-1)).toMatch(/^ {4}… \d+ more or deeper$/);
  });

  it('without the watch there is none', async () => {
    const [unwatched, watched] = [false, true].map((isWatched) =>
      block({ how: 'inALoop', gate, isWatched, stays: false }),
    ) as [Child, Child];
    await unwatched.line('ready');
    await watched.line(BLOCKED);
    writeFileSync(gate, '');
    const [{ stderr, code }] = await Promise.all([unwatched.ended, watched.ended]);
    expect([stderr, code]).toEqual(['ready\nfree\n', 0]);
  });
});

describe('a loop that had only been slow', () => {
  it('goes on undisturbed, is said to, and the next time it is blocked is reported as well', async () => {
    const child = block({ how: 'inALoop', gate }, { ipc: true });
    await child.line('ready');
    for (const time of [1, 2]) {
      child.process.send({});
      await expect.poll(() => count(child.texts().stderr, BLOCKED)).toBe(time);
      writeFileSync(gate, '');
      await expect.poll(() => count(child.texts().stderr, WENT_ON)).toBe(time);
      rmSync(gate);
    }
    const said = child
      .texts()
      .stderr.split('\n')
      .filter((line) => /^free$|has been blocked|went on/.test(line));
    expect(said.map((line) => line.replace(/^.*the event loop (\w+).*$/, '$1'))).toEqual([
      'has',
      'free',
      'went',
      'has',
      'free',
      'went',
    ]);
  });

  it('keeps the time limit of a script', async () => {
    const child = block({ how: 'inALimitedScript', stays: false });
    await child.line(BLOCKED);
    const { code, stderr } = await child.ended;
    expect(code).toBe(0);
    expect(stderr).toContain('ERR_SCRIPT_EXECUTION_TIMEOUT\n');
  });
});

describe('native code', () => {
  it('has no stack, but what the kernel tells; when it comes back there is one', async () => {
    const child = block({ how: 'inNativeCode', reportTo: join(folder, 'reports') });
    await child.line(`${BLOCKED} `);
    expect(child.texts().stderr).toMatch(
      /blocked for \d+ ms, no stack: the main thread waits in native code/,
    );
    child.process.stdin?.end('x');
    const stack = await stackAfter(child, 'native code had blocked the event loop');
    expect(stack.join()).toContain(`at inNativeCode (${FIXTURE}`);
    await child.line(WENT_ON);
    const reports = readFileSync(join(folder, 'reports'), 'utf8').trim().split('\n');
    const native = expect.stringContaining('native code');
    expect(reports.map((line) => JSON.parse(line)).slice(0, 2)).toEqual([
      { blockedMs: expect.any(Number), native },
      { blockedMs: expect.any(Number), native, stack: stack.join('\n') },
    ]);
  });
});

describe('a process that may have no inspector, or no thread', () => {
  const flag = process.allowedNodeEnvironmentFlags.has('--permission')
    ? '--permission'
    : '--experimental-permission';

  it.each([[[]], [['--allow-worker']]])('runs without the watch: %j', async (more) => {
    const flags = [flag, '--allow-fs-read=*', ...more];
    const settings = { how: 'forAWhile', stays: false };
    const note = 'nobody looks what blocks the event loop';
    const [quiet, noted] = await Promise.all([
      block(settings, { flags }).ended,
      block(settings, { flags, env: { NODE_DEBUG: 'shutdown-bus' } }).ended,
    ]);
    expect(quiet.code).toBe(0);
    expect(quiet.stderr).toMatch(/ready\nfree\n$/);
    expect([quiet, noted].map(({ stderr }) => count(stderr, note))).toEqual([0, 1]);
  });
});

describe('a primary', () => {
  it('gets the stack through a pipe, which the children of the worker do not have', async () => {
    const child = start('watched-workers.js', { args: [module] });
    children.push(child);
    const { stdout } = await child.ended;
    const [, own] = /^own (\S+)$/m.exec(stdout) ?? [];
    expect(own).toMatch(/^(socket|pipe):/);
    expect(stdout).toMatch(/^child's .*\b2 -> /m);
    expect(/^child's .*$/m.exec(stdout)?.[0]).not.toContain(own);
    const report = JSON.parse(/^reported (.*)$/m.exec(stdout)?.[1] ?? '');
    expect(report).toEqual({
      blockedMs: expect.any(Number),
      stack: expect.stringContaining('blocksTheWorker'),
    });
  });
});

describe('a debugger', () => {
  it('that stops at every exception is not stopped by the question', async () => {
    const [child, debug] = await attach();
    await debug.call('Debugger.setPauseOnExceptions', { state: 'all' });
    child.process.send({});
    const stack = await stackAfter(child, BLOCKED);
    expect(stack.join()).toContain('inALoop');
    await debug.call('Runtime.enable');
    expect(debug.count('Debugger.paused')).toBe(0);
    debug.close();
  });

  it('has the program stay where it has stopped it', async () => {
    const [child, debug] = await attach();
    await debug.call('Debugger.pause');
    await debug.event('Debugger.paused');
    await child.line(BLOCKED);
    await debug.call('Runtime.enable');
    expect(debug.count('Debugger.resumed')).toBe(0);
    await debug.call('Debugger.resume');
    await child.line(WENT_ON);
    debug.close();
  });
});

/** A program that waits for its message, with a debugger. */
async function attach() {
  const child = block({ how: 'inALoop' }, { flags: ['--inspect=127.0.0.1:0'], ipc: true });
  await child.line('ready');
  const [url] = /ws:\S+/.exec(child.texts().stderr) ?? [];
  const debug = await connectDebugger(url as string);
  await debug.call('Debugger.enable');
  return [child, debug] as const;
}

function count(all: string, text: string): number {
  return all.split(text).length - 1;
}
