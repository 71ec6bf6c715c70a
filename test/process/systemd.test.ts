import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Bundle, bundle } from './bundle.js';
import { start } from './child.js';
import { type Manager, startManager, unmanaged } from './service-manager.js';

let withKoffi: Bundle;
let alone: Bundle;
let folder: string;
beforeAll(async () => {
  withKoffi = await bundle('supervisor/manners/systemd.ts', 'with packages');
  alone = await bundle('supervisor/manners/systemd.ts', 'alone');
  folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
});
afterAll(() => {
  withKoffi.remove();
  alone.remove();
  rmSync(folder, { recursive: true });
});

let managers: Manager[] = [];
afterEach(() => {
  for (const manager of managers) manager.close();
  managers = [];
});

let count = 0;
async function openManager(address = join(folder, `notify-${(count += 1)}`)) {
  const manager = await startManager(address);
  managers.push(manager);
  return { manager, address };
}

async function speak(calls: readonly (readonly unknown[])[], env: NodeJS.ProcessEnv) {
  const child = start('speaks-to-systemd.js', { env: { CALLS: JSON.stringify(calls), ...env } });
  await child.line('facts ');
  const [, json = ''] = /^facts (.*)$/m.exec(child.texts().stdout) ?? [];
  return { child, facts: JSON.parse(json) as { pid: number; inherited: string[]; open: boolean } };
}

const LIFE = [['ready'], ['status', '2 workers'], ['reloading'], ['ready'], ['stopping', 1000]];
const STORY = [
  'READY=1',
  'STATUS=2 workers',
  expect.stringMatching(/^RELOADING=1\nMONOTONIC_USEC=\d+$/),
  'READY=1',
  // By the real clock.
  expect.stringMatching(/^STOPPING=1\nEXTEND_TIMEOUT_USEC=(6000|59\d\d)000$/),
];

const told = (manager: Manager) =>
  manager.notices.map(({ message }) => message).filter((message) => message !== 'BARRIER=1');

/** All of a life: told in order, by the process itself unless others speak for it. */
async function expectStory(manager: Manager, story: readonly unknown[] = STORY) {
  await vi.waitFor(() => expect(told(manager)).toEqual(story), { timeout: 15_000 });
  return new Set(manager.notices.filter(({ message }) => message !== 'BARRIER=1').map(({ pid }) => pid));
}

describe.skipIf(unmanaged)(`systemd, told through koffi${unmanaged}`, () => {
  it.each(['a path', 'an abstract name'])('hears the process itself, at %s', async (kind) => {
    const abstract = kind === 'a path' ? undefined : `@shutdown-bus-${process.pid}`;
    const { manager, address } = await openManager(abstract);
    manager.listen();
    const env = { SPEAKS: withKoffi.path, NOTIFY_SOCKET: address };
    const { child, facts } = await speak(LIFE, env);
    expect(facts).toMatchObject({ open: true, inherited: [] });
    expect(await expectStory(manager)).toEqual(new Set([facts.pid]));
    expect(await child.ended).toMatchObject({ code: 0, stderr: '' });
  });

  it('hears what is said in the tick of the exit', async () => {
    const { manager, address } = await openManager();
    manager.listen();
    const { child } = await speak(LIFE, { SPEAKS: withKoffi.path, NOTIFY_SOCKET: address, LEAVES: '1' });
    await expectStory(manager);
    expect((await child.ended).code).toBe(0);
  });

  it('hears everything, in order, also when it does not read for a while', async () => {
    const { manager, address } = await openManager();
    // Far more than its queue holds.
    const texts = Array.from({ length: 400 }, (_, index) => `step ${index}`);
    const { child } = await speak(
      texts.map((text) => ['status', text]),
      { SPEAKS: withKoffi.path, NOTIFY_SOCKET: address },
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(child.texts().stdout).not.toContain('done');
    manager.listen();
    await expectStory(
      manager,
      texts.map((text) => `STATUS=${text}`),
    );
    expect(await child.ended).toMatchObject({ code: 0, stderr: '' });
  });

  it('hears signs of life as often as it asked, and they are no reason to stay', async () => {
    const { manager, address } = await openManager();
    manager.listen();
    const env = { SPEAKS: withKoffi.path, NOTIFY_SOCKET: address, WATCHDOG_USEC: '400000', STAYS: '1100' };
    const { child, facts } = await speak([], env);
    expect(facts.inherited).toEqual([]);
    expect((await child.ended).code).toBe(0);
    // 0, 200, 400, 600, 800, 1000 ms; a busy machine is late, and that adds up.
    expect(manager.notices.length).toBeGreaterThanOrEqual(4);
    expect(new Set(told(manager))).toEqual(new Set(['WATCHDOG=1']));
  });

  it('that is gone costs a line, and not the service', async () => {
    const env = { SPEAKS: withKoffi.path, NOTIFY_SOCKET: join(folder, 'nobody') };
    const { child } = await speak(LIFE, env);
    const { code, stderr } = await child.ended;
    expect(code).toBe(0);
    // ENOENT
    expect(stderr).toMatch(
      /^warning: systemd was not told "READY=1": .*\/nobody does not take it \(errno 2\)\n$/,
    );
  });
});

const isInstalled = spawnSync('systemd-notify', ['--version']).status === 0;

/** A stand-in where the real one is not installed. */
function fakeProgram(): string {
  const bin = mkdtempSync(join(folder, 'bin-'));
  const path = join(bin, 'systemd-notify');
  writeFileSync(
    path,
    `#!/usr/bin/env python3
import os, socket, sys
lines = [line for line in sys.argv[1:] if line != '--']
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto('\\n'.join(lines).encode(), os.environ['NOTIFY_SOCKET'])
`,
  );
  chmodSync(path, 0o755);
  return bin;
}

describe.skipIf(unmanaged)(`systemd, told through systemd-notify${unmanaged}`, () => {
  const variants = [
    ...(isInstalled ? [{ program: 'the real program', path: () => process.env.PATH as string }] : []),
    { program: 'a stand-in', path: () => `${fakeProgram()}:${process.env.PATH}` },
  ];
  it.each(variants)('without koffi it hears the same, in order: $program', async ({ program, path }) => {
    const { manager, address } = await openManager();
    manager.listen();
    const env = { SPEAKS: alone.path, NOTIFY_SOCKET: address, PATH: path() };
    const { child, facts } = await speak(LIFE, env);
    const { code, stderr } = await child.ended;
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^systemd is told by the program systemd-notify \(koffi is not installed.*NotifyAccess=all\n$/,
    );
    const pids = await expectStory(manager);
    // Root may speak for its parent.
    if (program === 'the real program' && process.getuid?.() === 0)
      expect(pids).toEqual(new Set([facts.pid]));
    else expect(pids).not.toContain(facts.pid);
  });

  it('says why where that fails', async () => {
    const bin = fakeProgram();
    writeFileSync(join(bin, 'systemd-notify'), '#!/bin/sh\necho no such manager >&2; exit 3\n');
    const env = { SPEAKS: alone.path, NOTIFY_SOCKET: '/run/nobody', PATH: `${bin}:${process.env.PATH}` };
    const { child } = await speak(LIFE, env);
    const { code, stderr } = await child.ended;
    expect(code).toBe(0);
    expect(stderr.match(/warning: .*/g)).toEqual([
      'warning: systemd was not told "READY=1": systemd-notify: no such manager',
    ]);
  });
});

it('with neither koffi nor systemd-notify one line says what helps, and the service runs', async () => {
  // Where `env` is, and nothing else.
  const bin = mkdtempSync(join(folder, 'bin-'));
  writeFileSync(join(bin, 'env'), '#!/bin/sh\n');
  chmodSync(join(bin, 'env'), 0o755);
  const { child, facts } = await speak(LIFE, { SPEAKS: alone.path, NOTIFY_SOCKET: '/run/nobody', PATH: bin });
  expect(facts.open).toBe(false);
  const { code, stderr } = await child.ended;
  expect(code).toBe(0);
  expect(stderr).toMatch(
    /^warning: systemd cannot be told anything \(koffi is not installed.*; no program systemd-notify\).*npm install koffi, or the program systemd-notify\n$/,
  );
});
