import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type Controlled,
  controlPath,
  knock,
  openControl,
  pidOfControl,
  sweep,
} from '../../supervisor/control.js';
import type { ReloadReport, SupervisorState } from '../../supervisor/events.js';
import { gate, uncaughtErrors, until } from '../http/service.js';
import { lineLogger, settle } from '../test-bus.js';

const STATE = { state: 'running', wanted: 2 } as SupervisorState;
const RELOAD: ReloadReport = { outcome: 'restarted', workers: 2, durationMs: 7 };

let folder: string;
const undo: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'control-'));
});
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
  rmSync(folder, { recursive: true });
});

interface Door {
  readonly path: string;
  readonly lines: string[];
  readonly controlled: { [K in keyof Controlled]: ReturnType<typeof vi.fn> };
  close(): void;
}

function open(path = join(folder, 'door')): Door {
  const { lines, ...log } = lineLogger();
  const controlled = {
    state: vi.fn(() => STATE),
    reload: vi.fn(async () => RELOAD),
    scale: vi.fn(),
    stop: vi.fn(async () => ({ exitCode: 3 })),
  };
  const close = openControl(path, controlled as unknown as Controlled, log);
  undo.push(close);
  return { path, lines, controlled, close };
}

async function opened(path?: string): Promise<Door> {
  const door = open(path);
  await until(() => door.lines.length > 0);
  expect(door.lines).toEqual([`control socket: ${door.path}`]);
  return door;
}

class Client {
  readonly answers: unknown[] = [];
  readonly socket: Socket;
  isClosed = false;

  constructor(path: string) {
    this.socket = connect(path).on('error', () => {});
    this.socket.on('close', () => {
      this.isClosed = true;
    });
    createInterface({ input: this.socket })
      .on('error', () => {})
      .on('line', (line) => void this.answers.push(JSON.parse(line)));
    undo.push(() => this.socket.destroy());
  }

  async ask(text: string): Promise<unknown> {
    const before = this.answers.length;
    this.socket.write(text);
    await until(() => this.answers.length > before);
    return this.answers.at(-1);
  }
}

describe('a control socket', () => {
  it('is its user’s alone, and is gone when it is closed', async () => {
    const { path, close } = await opened();
    expect(statSync(path).isSocket()).toBe(true);
    expect((statSync(path).mode & 0o777).toString(8)).toBe('600');
    expect(await knock(path)).toBe('answered');
    close();
    expect(existsSync(path)).toBe(false);
    expect(await knock(path)).toBe('silent');
  });

  it('does not change what files of the service may be read', async () => {
    const before = process.umask();
    await opened();
    expect(process.umask()).toBe(before);
  });

  it('answers one line with one', async () => {
    const { path, controlled } = await opened();
    const client = new Client(path);
    expect(await client.ask('{"command":"status"}\n')).toEqual({ ok: true, state: STATE });
    expect(await client.ask('{"command":"reload"}\n')).toEqual({ ok: true, state: STATE, reload: RELOAD });
    expect(await client.ask('{"command":"scale","workers":4}\n')).toEqual({ ok: true, state: STATE });
    expect(controlled.scale).toHaveBeenCalledExactlyOnceWith(4);
    controlled.state.mockReturnValueOnce({ ...STATE, state: 'stopping' });
    expect(await client.ask('{"command":"scale","workers":4}\n')).toEqual({
      ok: false,
      error: 'the supervisor is stopping: it has no use for another number of workers',
    });
    expect(await client.ask('{"command":"stop"}\n')).toEqual({ ok: true, state: STATE, exitCode: 3 });
    expect(await client.ask('{"command":"stop","unhurried":true}\n')).toMatchObject({ exitCode: 3 });
    expect(controlled.stop.mock.calls).toEqual([[{ unhurried: false }], [{ unhurried: true }]]);
  });

  it('answers when the command has come to its end, and others meanwhile', async () => {
    const { path, controlled } = await opened();
    const { opened: finished, open: finish } = gate<ReloadReport>();
    controlled.reload.mockReturnValueOnce(finished);
    const [patient, other] = [new Client(path), new Client(path)];
    patient.socket.write('{"command":"reload"}\n');
    await until(() => controlled.reload.mock.calls.length === 1);
    await other.ask('{"command":"status"}\n');
    expect(patient.answers).toEqual([]);
    finish(RELOAD);
    await until(() => patient.answers.length === 1);
  });

  it('answers also one who says no more, and then closes', async () => {
    const { path, controlled } = await opened();
    const { opened: finished, open: finish } = gate<ReloadReport>();
    controlled.reload.mockReturnValueOnce(finished);
    const client = new Client(path);
    client.socket.end('{"command":"reload"}\n');
    await until(() => controlled.reload.mock.calls.length === 1);
    await settle();
    expect([client.answers, client.isClosed]).toEqual([[], false]);
    finish(RELOAD);
    await until(() => client.isClosed);
    expect(client.answers).toEqual([{ ok: true, state: STATE, reload: RELOAD }]);
  });

  it('puts the parts of a line together, and takes several at once', async () => {
    const { path, controlled } = await opened();
    const client = new Client(path);
    client.socket.write('{"comm');
    await settle();
    expect(controlled.state).not.toHaveBeenCalled();
    await client.ask('and":"status"}\n');
    client.socket.write('{"command":"status"}\n{"command":"status"}\n');
    await until(() => client.answers.length === 3);
  });

  it.each([
    ['{"command":"dance"}', 'the command is "dance", allowed: status, reload, scale, stop'],
    ['{"command":"toString"}', 'the command is "toString", allowed: status, reload, scale, stop'],
    ['{}', 'the command is undefined, allowed: status, reload, scale, stop'],
    ['null', 'the command is undefined, allowed: status, reload, scale, stop'],
    ['7', 'the command is undefined, allowed: status, reload, scale, stop'],
    ['status', 'Unexpected token'],
    ['{"command":"stop"', 'JSON'],
    ['', 'JSON'],
    ['\u0000\u0007ÿ', 'Unexpected token'],
    ['GET / HTTP/1.1', 'Unexpected token'],
  ])('answers %j with what is wrong, and goes on', async (line, error) => {
    const { path, controlled } = await opened();
    const client = new Client(path);
    expect(await client.ask(`${line}\n`)).toEqual({ ok: false, error: expect.stringContaining(error) });
    expect(await client.ask('{"command":"status"}\n')).toMatchObject({ ok: true });
    expect(controlled.stop).not.toHaveBeenCalled();
  });

  it('answers with what the supervisor refuses', async () => {
    const { path, controlled } = await opened();
    controlled.scale.mockImplementationOnce(() => {
      throw new Error('scale: workers is missing');
    });
    expect(await new Client(path).ask('{"command":"scale"}\n')).toEqual({
      ok: false,
      error: 'scale: workers is missing',
    });
  });

  it('half a line of a client that leaves is no command', async () => {
    const { path, controlled } = await opened();
    const client = new Client(path);
    client.socket.end('{"command":"stop"');
    await until(() => client.isClosed);
    await new Client(path).ask('{"command":"status"}\n');
    expect(controlled.stop).not.toHaveBeenCalled();
  });

  it('a client that leaves without reading its answer is nobody’s error', async () => {
    const errors = uncaughtErrors();
    const { path, controlled } = await opened();
    const client = connect(path, () => {
      client.pause();
      client.write('{"command":"status"}\n');
    });
    await until(() => controlled.state.mock.calls.length === 1);
    await settle();
    // With an answer that nobody has read, the connection is reset.
    client.destroy();
    new Client(path).socket.destroy();
    await settle();
    expect(await new Client(path).ask('{"command":"status"}\n')).toMatchObject({ ok: true });
    expect(errors()).toEqual([]);
  });
});

describe('a path that is taken', () => {
  it('by the socket of a process that was killed is taken over', async () => {
    const path = join(folder, 'door');
    const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    expect(spawnSync(process.execPath, ['-e', program]).signal).toBe('SIGKILL');
    expect(existsSync(path)).toBe(true);
    await opened(path);
    expect((statSync(path).mode & 0o777).toString(8)).toBe('600');
    expect(await new Client(path).ask('{"command":"status"}\n')).toMatchObject({ ok: true });
  });

  it('by a supervisor that lives stays that one’s, to the end of both', async () => {
    const first = await opened();
    const second = open(first.path);
    await until(() => second.lines.length > 0);
    expect(second.lines).toEqual([
      expect.stringMatching(
        /^the control socket .*door cannot be used: .*EADDRINUSE.*; shutdown-bus ctl has no effect$/,
      ),
    ]);
    second.close();
    expect(await new Client(first.path).ask('{"command":"status"}\n')).toMatchObject({ ok: true });
    expect(second.controlled.state).not.toHaveBeenCalled();
  });

  it('by a file that is no socket is left alone', async () => {
    const path = join(folder, 'notes');
    writeFileSync(path, 'precious');
    const { lines, close } = open(path);
    await until(() => lines.length > 0);
    expect(lines[0]).toContain('cannot be used');
    close();
    expect(readFileSync(path, 'utf8')).toBe('precious');
  });

  it('is not opened any more when it was closed meanwhile', async () => {
    const path = join(folder, 'door');
    const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', program]);
    open(path).close();
    await settle();
    expect(await knock(path)).toBe('refused');
  });

  it('in a folder that is not there is a warning', async () => {
    const { lines } = open(join(folder, 'none', 'door'));
    await until(() => lines.length > 0);
    expect(lines[0]).toMatch(
      /cannot be used: its folder .*none does not exist, create it; shutdown-bus ctl has/,
    );
  });
});

describe('where a control socket is', () => {
  it('is told by program and process, and whose it is by its name', () => {
    const path = controlPath('/srv/app.js', 4711, { STATE_DIRECTORY: folder });
    expect(path).toMatch(/control-\w+\/app\.js-[0-9a-f]{8}\.4711\.sock$/);
    expect(pidOfControl(path)).toBe(4711);
    expect(['jobs', 'app.sock', 'app.12.sock.bak', 'x.y.sock'].map(pidOfControl)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('what killed ones have left there is swept away, and nothing else', async () => {
    const bind = (name: string) => {
      const path = join(folder, name);
      const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
      return spawnSync(process.execPath, ['-e', program]).pid;
    };
    const dead = bind('app.sock');
    for (const pid of [dead, process.pid]) bind(`app.${pid}.sock`);
    writeFileSync(join(folder, `file.${dead}.sock`), '');
    const server = createServer().listen(join(folder, `living.${dead}.sock`));
    undo.push(() => server.close());
    await until(() => server.listening);
    await sweep(folder);
    await sweep(join(folder, 'none'));
    expect(readdirSync(folder).sort()).toEqual(
      ['app.sock', `app.${process.pid}.sock`, `file.${dead}.sock`, `living.${dead}.sock`].sort(),
    );
  });

  it('nobody answers where nothing is, and where something else is', async () => {
    writeFileSync(join(folder, 'file'), '');
    expect(await knock(join(folder, 'none'))).toBe('silent');
    expect(await knock(join(folder, 'file'))).toBe('refused');
    const server = createServer().listen(join(folder, 'other'));
    undo.push(() => server.close());
    await until(() => server.listening);
    expect(await knock(join(folder, 'other'))).toBe('answered');
  });
});
