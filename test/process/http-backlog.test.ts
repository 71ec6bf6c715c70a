import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { cert, key } from '../http/certificate.js';
import { ChildService, killServices } from '../http/child-service.js';
import { RawClient } from '../http/raw-client.js';
import { runs } from './runs.js';

const CLIENTS = 200;
const folders: string[] = [];

afterEach(() => {
  killServices();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

interface Outcome {
  readonly served: number;
  readonly reset: number;
  readonly counts: Record<string, unknown> | undefined;
  readonly code: number | null;
}

interface Scene {
  readonly mode: 'drained' | 'no-backlog' | 'bare';
  readonly tls?: boolean;
}

/** 200 clients connect while the loop stands still, then SIGTERM arrives, then the loop goes on. */
async function stopWithBacklog({ mode, tls = false }: Scene): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
  folders.push(folder);
  const file = join(folder, 'go-on');
  writeFileSync(join(folder, 'key.pem'), key);
  writeFileSync(join(folder, 'cert.pem'), cert);
  const service = new ChildService('http-backlog.js', [mode, file, ...(tls ? [folder] : [])]);
  const port = Number(await service.line('port'));
  const blocking = new RawClient(port, { tls }).get('/block', 'Connection: close\r\n');
  await service.line('blocked');
  const clients = Array.from({ length: CLIENTS }, () => new RawClient(port, { tls }).get('/'));
  await Promise.all(clients.map(({ established }) => established));
  service.kill('SIGTERM');
  writeFileSync(file, '');
  // A keep-alive connection to the bare server stays open until somebody closes it.
  const settled = clients.map((client) =>
    Promise.race([client.closed, client.until('served').catch(() => {})]),
  );
  await Promise.all([...settled, blocking.closed]);
  for (const { socket } of clients) socket.end();
  const { code } = await service.exited;
  const counts = /^counts (.*)$/m.exec(service.stdout)?.[1];
  return {
    served: clients.filter(({ body }) => body === 'served').length,
    reset: clients.filter(({ error }) => error !== undefined).length,
    counts: counts === undefined ? undefined : JSON.parse(counts),
    code,
  };
}

describe('200 clients in the backlog when SIGTERM comes', () => {
  it.each([
    { wire: 'plain', tls: false },
    { wire: 'TLS', tls: true },
  ])(
    `B06, B08, B09: all are answered, none is reset, in ${runs(30)} runs, $wire`,
    { timeout: 300_000 },
    async ({ tls }) => {
      for (let run = 1; run <= runs(30); run += 1) {
        const { served, reset, counts, code } = await stopWithBacklog({ mode: 'drained', tls });
        expect({ run, served, reset, code }).toEqual({ run, served: CLIENTS, reset: 0, code: 0 });
        expect(counts).toMatchObject({ endedBy: 'quiet', reset: 0, left: 0, refused: 0 });
      }
    },
  );

  // Not elsewhere: only Linux shows the queue.
  it.runIf(process.platform === 'linux')(
    'B11: the kernel’s queue is in the report, full and then empty',
    async () => {
      const { counts } = await stopWithBacklog({ mode: 'drained' });
      expect(counts).toMatchObject({ backlogAtEnd: 0 });
      expect(counts?.backlogAtStart).toBeGreaterThan(CLIENTS / 2);
      expect(counts?.accepted).toBeGreaterThanOrEqual(counts?.backlogAtStart as number);
    },
  );

  it('B06, the negative twin over TLS: with drainBacklog false most are lost', async () => {
    const { served, reset } = await stopWithBacklog({ mode: 'no-backlog', tls: true });
    expect(reset).toBeGreaterThan(CLIENTS / 2);
    expect(served + reset).toBe(CLIENTS);
  });

  it('B06, the negative twin: with drainBacklog false most are lost', async () => {
    const { served, reset, counts } = await stopWithBacklog({ mode: 'no-backlog' });
    expect(reset).toBeGreaterThan(CLIENTS / 2);
    expect(served + reset).toBe(CLIENTS);
    expect(counts).toMatchObject({ endedBy: 'off' });
  });

  it('B01: a bare server.close() loses most of them', async () => {
    const { served, reset } = await stopWithBacklog({ mode: 'bare' });
    expect(reset).toBeGreaterThan(CLIENTS / 2);
    expect(served + reset).toBe(CLIENTS);
  });
});
