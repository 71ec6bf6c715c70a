import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type DrainedServer, type DrainOptions, drainServer } from '../../http/index.js';
import type { ShutdownBus } from '../../src/index.js';
import { cert, key } from './certificate.js';
import { RawClient } from './raw-client.js';
import { gate, openBus, until } from './service.js';

const undo: (() => void)[] = [];

afterEach(() => {
  for (const work of undo.splice(0)) work();
});

interface TlsService {
  readonly bus: ShutdownBus;
  readonly drained: DrainedServer;
  readonly port: number;
}

async function open(
  listener: Parameters<typeof createServer>[1],
  options: DrainOptions = {},
): Promise<TlsService> {
  const { bus } = openBus();
  const server = createServer({ key, cert }, listener);
  const drained = drainServer(server, { bus, ...options });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  undo.push(() => {
    drained.dispose();
    bus.dispose();
    server.close();
    server.closeAllConnections();
  });
  return { bus, drained, port: (server.address() as AddressInfo).port };
}

describe('a TLS server', () => {
  it('A11: a connection is tracked raw from its accept on, and once after its handshake', async () => {
    const { drained, port } = await open((_request, response) => response.end('served'));
    const raw = new RawClient(port);
    await until(() => drained.connections === 1);
    const secure = new RawClient(port, { tls: true });
    await secure.connected;
    await secure.get('/').until('served');
    expect(drained.connections).toBe(2);
    for (const { socket } of [raw, secure]) socket.end();
    await until(() => drained.connections === 0);
  });

  it('A11: a request under way is answered, and neither it nor idle connections are reset', async () => {
    const finish = gate();
    const { bus, drained, port } = await open(async (request, response) => {
      if (request.url === '/slow') await finish.opened;
      response.end('served');
    });
    const [slow, idle, silent] = [0, 1, 2].map(() => new RawClient(port, { tls: true })) as [
      RawClient,
      RawClient,
      RawClient,
    ];
    const shaking = new RawClient(port);
    await Promise.all([slow, idle, silent, shaking].map(({ connected }) => connected));
    slow.get('/slow');
    await idle.get('/').until('served');
    await until(() => drained.openRequests.map(({ request }) => request.url).join() === '/slow');
    expect(drained.connections).toBe(4);
    const stopped = bus.requestShutdown();
    await Promise.all([idle.closed, silent.closed, shaking.closed]);
    expect(drained.openRequests).toHaveLength(1);
    finish.open();
    await slow.closed;
    const report = await stopped;
    expect([slow, idle, silent, shaking].map(({ error }) => error)).toEqual(new Array(4).fill(undefined));
    expect(slow.text).toContain('Connection: close\r\n');
    expect(drained.counts).toMatchObject({ openAtStop: 4, requests: 1, answered: 1, reset: 0 });
    expect(report.exitCode).toBe(0);
  });

  it('B05: a handshake under way is finished and its request answered', async () => {
    const { bus, drained, port } = await open((_request, response) => response.end('served'));
    const client = new RawClient(port, { tls: true });
    await until(() => drained.connections === 1);
    const stopped = bus.requestShutdown();
    await client.connected;
    client.get('/');
    await client.closed;
    expect([client.error, client.body]).toEqual([undefined, 'served']);
    await stopped;
  });

  it('A19: a chosen answer is received whole', async () => {
    const body = 'x'.repeat(1_000_000);
    const { bus, drained, port } = await open(() => {}, { answer: { body } });
    const client = new RawClient(port, { tls: true });
    await client.connected;
    client.get('/');
    await until(() => drained.openRequests.length === 1);
    await bus.requestShutdown();
    await client.closed;
    expect([client.error, client.statuses, client.body.length]).toEqual([undefined, [200], body.length]);
  });
});
