import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ChildService, killServices } from '../http/child-service.js';

let folder: string;
let socketPath: string;
const services: number[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
  socketPath = join(folder, 'service.sock');
});

afterEach(() => {
  killServices();
  for (const pid of services.splice(0)) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  rmSync(folder, { recursive: true });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** One request on a connection of its own. @returns the body, or the error's code */
const ask = (path = '/') =>
  new Promise<string>((resolve) => {
    const asked = get({ socketPath, path, agent: false }, (response) => resolve(text(response)));
    asked.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });

describe('a unix socket', () => {
  it('B05, B23: of its own is drained like a port, and its file is gone afterwards', async () => {
    const service = new ChildService('http-listener.js', [JSON.stringify({ path: socketPath })]);
    const { pid } = service.process;
    await service.line(`listening-${pid}`);
    const slow = ask('/slow');
    await service.line('slow');
    service.kill('SIGTERM');
    expect(await slow).toBe(`served by ${pid}`);
    expect(await service.exited).toEqual({ code: 0, signal: null });
    expect(JSON.parse(await service.line(`counts-${pid}`))).toMatchObject({ answered: 1, reset: 0 });
    expect(existsSync(socketPath)).toBe(false);
  });

  it('B05, the negative twin: without a drain the request is lost', async () => {
    const service = new ChildService('http-listener.js', [JSON.stringify({ path: socketPath }), 'bare']);
    await service.line(`listening-${service.process.pid}`);
    const slow = ask('/slow');
    await service.line('slow');
    service.kill('SIGTERM');
    expect(await slow).toBe('ECONNRESET');
  });

  it('B07, B23: that was inherited stays, and a second service on it takes over without a lost request', async () => {
    const holder = new ChildService('socket-holder.js', [socketPath]);
    const [first = 0, second = 0] = (await holder.line('services')).split(' ').map(Number);
    services.push(first, second);
    await Promise.all([first, second].map((pid) => holder.line(`listening-${pid}`)));
    const answers: string[] = [];
    let gone = false;
    const client = async () => {
      // A while beyond the end of the first, so that its successor is seen alone.
      for (let alone = 0; alone < 20; alone += gone ? 1 : 0) answers.push(await ask());
    };
    const clients = Array.from({ length: 8 }, client);
    while (!answers.includes(`served by ${first}`)) await new Promise((resolve) => setImmediate(resolve));
    process.kill(first, 'SIGTERM');
    expect(JSON.parse(await holder.line(`counts-${first}`))).toMatchObject({ reset: 0, left: 0 });
    gone = true;
    await Promise.all(clients);
    expect(new Set(answers)).toEqual(new Set([`served by ${first}`, `served by ${second}`]));
    expect(answers.at(-1)).toBe(`served by ${second}`);
    expect(existsSync(socketPath)).toBe(true);
  });
});
