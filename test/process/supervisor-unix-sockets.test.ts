import { existsSync, linkSync, mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { endSupervised, startSupervised } from './supervised.js';

let folder: string;
let SOCKET: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sockets-'));
  SOCKET = join(folder, 'app.sock');
});
afterEach(() => {
  endSupervised();
  rmSync(folder, { recursive: true });
});

function ask(socketPath = SOCKET, path = '/'): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ socketPath, path, agent: false }, (response) => {
      response.setEncoding('utf8').on('data', resolve);
    }).on('error', reject);
  });
}

describe('workers that share a unix socket', () => {
  it('serve it, are replaced and stopped, and its file goes with them', async () => {
    const service = await startSupervised({}, { SOCKET });
    expect(await ask()).toMatch(/^served/);
    expect(await service.call('reload')).toMatchObject({ outcome: 'restarted' });
    expect(await ask()).toMatch(/^served/);
    const answer = ask(SOCKET, '/slow?ms=300');
    await service.primary.line('slow');
    service.primary.kill('SIGTERM');
    expect(await answer).toMatch(/^served/);
    expect((await service.primary.ended).code).toBe(0);
    expect(existsSync(SOCKET)).toBe(false);
    expect(existsSync(join(folder, '.app.sock.kept'))).toBe(false);
  });

  it('a program that removes the file at its start is reached after a reload all the same', async () => {
    const service = await startSupervised({}, { SOCKET, REMOVES: 'at its start' });
    expect(await service.call('reload')).toMatchObject({ outcome: 'restarted' });
    expect(await ask()).toMatch(/^served/);
    expect(service.primary.texts().stderr).toMatch(
      /a worker has removed the unix socket \S+, which the other workers serve: it was put back/,
    );
    service.primary.kill('SIGTERM');
    expect((await service.primary.ended).code).toBe(0);
    expect(existsSync(SOCKET)).toBe(false);
  });

  it('so is one that removes it at its end', async () => {
    const service = await startSupervised({}, { SOCKET, REMOVES: 'at its end' });
    expect(await service.call('reload')).toMatchObject({ outcome: 'restarted' });
    await vi.waitFor(async () => expect(await ask()).toMatch(/^served/), { timeout: 15_000 });
    expect(service.primary.texts().stderr).toContain('it was put back');
  });

  it('and one that is started beside its socket, of which Node tells by a shorter name', async () => {
    const through = ['sh', '-c', 'cd "$0"; exec "$@"', folder];
    const service = await startSupervised({}, { SOCKET, REMOVES: 'at its start' }, { through });
    await service.call('reload');
    expect(await ask()).toMatch(/^served/);
  });

  it('negative twin: without its second name it is not reached, and that is said', async () => {
    const service = await startSupervised({}, { SOCKET, REMOVES: 'at its start' });
    rmSync(join(folder, '.app.sock.kept'));
    await service.call('reload');
    await expect(ask()).rejects.toThrow('ENOENT');
    expect(service.primary.texts().stderr).toContain('no client can connect any more');
  });

  it('the file that a killed service has left is no obstacle', async () => {
    const killed = await startSupervised({}, { SOCKET });
    for (const pid of killed.alive()) process.kill(pid, 'SIGKILL');
    await killed.primary.ended;
    expect(existsSync(SOCKET)).toBe(true);
    const service = await startSupervised({}, { SOCKET });
    expect(await ask()).toMatch(/^served/);
    expect(service.primary.texts().stderr).toContain('removed the unix socket');
  });

  it('somebody else who listens there keeps it', async () => {
    const other = createServer((socket) => void socket.on('error', () => {}).end('other'));
    await new Promise<void>((resolve) => other.listen(SOCKET, resolve));
    // It may be served by a supervisor as well.
    linkSync(SOCKET, join(folder, '.app.sock.kept'));
    const started = startSupervised({}, { SOCKET });
    await expect(started).rejects.toThrow();
    expect([existsSync(SOCKET), existsSync(join(folder, '.app.sock.kept'))]).toEqual([true, true]);
    await new Promise((resolve) => other.close(resolve));
  });
});
