import { get, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { UpgradeContext } from '../../http/index.js';
import {
  closeServices,
  gate,
  openService,
  type Service,
  type ServiceOptions,
  uncaughtErrors,
  until,
} from './service.js';

afterEach(closeServices);

/** A service with real WebSockets, and one client that is connected. */
async function openSockets(
  options: ServiceOptions = {},
): Promise<{ service: Service; client: WebSocket; sockets: WebSocketServer }> {
  const service = await openService((_request, response) => response.end('app'), options);
  const sockets = new WebSocketServer({ server: service.server });
  const client = new WebSocket(`ws://127.0.0.1:${service.port}/`);
  await new Promise((resolve, reject) => client.once('open', resolve).once('error', reject));
  return { service, client, sockets };
}

const closeOf = (socket: WebSocket) =>
  new Promise<{ code: number; reason: string }>((resolve) =>
    socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() })),
  );

const UPGRADE = 'Connection: Upgrade\r\nUpgrade: chat/1\r\n';
const WEBSOCKET =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n';

describe('WebSockets', () => {
  it('are closed with 1001, both sides know it, and the shutdown does not wait longer than they take', async () => {
    const { service, client, sockets } = await openSockets();
    const [server] = sockets.clients;
    const closed = [closeOf(client), closeOf(server as WebSocket)];
    const report = await service.bus.requestShutdown();
    expect(await Promise.all(closed)).toEqual([
      { code: 1001, reason: 'going away' },
      { code: 1001, reason: 'going away' },
    ]);
    expect(service.drained.counts).toMatchObject({ upgraded: 1, requests: 0, reset: 0 });
    expect(report.exitCode).toBe(0);
    expect(report.durationMs).toBeLessThan(1000);
  });

  it('get what the application still had for them before the goodbye', async () => {
    const { service, client, sockets } = await openSockets();
    const got: string[] = [];
    client.on('message', (data) => void got.push(data.toString()));
    service.bus.on('stopping', () => {
      for (const socket of sockets.clients) for (let n = 0; n < 100; n += 1) socket.send(`last ${n}`);
    });
    const closed = closeOf(client);
    await service.bus.requestShutdown();
    expect((await closed).code).toBe(1001);
    expect(got).toHaveLength(100);
  });

  it('negative twin: with a farewell that says nothing, the peer sees 1006 instead', async () => {
    const { service, client } = await openSockets({ drain: { onUpgrade: () => {} } });
    const closed = closeOf(client);
    await service.bus.requestShutdown();
    expect((await closed).code).toBe(1006);
  });

  it('of another library get the close frame from us', async () => {
    const service = await openService(() => {});
    service.server.on('upgrade', (_request, socket) => socket.write(SWITCHED));
    const client = service.client();
    client.socket.setEncoding('latin1');
    client.get('/', WEBSOCKET);
    await client.until('101 Switching');
    const stopped = service.bus.requestShutdown();
    await client.until('\x88\x02\x03\xe9');
    client.socket.end();
    expect((await stopped).exitCode).toBe(0);
    expect(service.drained.counts.upgraded).toBe(1);
  });

  it('that cannot be closed are ended and logged, and cost nobody else the drain', async () => {
    const finish = gate();
    const service = await openService(async (_request, response) => {
      await finish.opened;
      response.end('served');
    });
    service.server.on('upgrade', (_request, socket) => {
      const broken = {
        close: () => {
          throw new Error('not open');
        },
      };
      Object.assign(socket, { [Symbol('websocket')]: broken });
      socket.write(SWITCHED);
    });
    const [upgraded, reader] = [service.client(), service.client().get('/')];
    upgraded.socket.write(`GET / HTTP/1.1\r\nHost: x\r\n${WEBSOCKET}\r\n`);
    await upgraded.until('101');
    await until(() => service.drained.openRequests.length === 1);
    const stopped = service.bus.requestShutdown();
    await upgraded.closed;
    finish.open();
    const report = await stopped;
    expect([reader.statuses, report.exitCode]).toEqual([[200], 0]);
    expect(service.log.lines.join('\n')).toContain('a WebSocket could not be closed: not open');
  });

  it('whose peer does not answer are gone after 2 s', async () => {
    const { service, client } = await openSockets({ bus: { budgetMs: 9000 } });
    client.pause();
    const report = await service.bus.requestShutdown();
    expect(report.durationMs).toBeGreaterThanOrEqual(2000);
    expect(report.durationMs).toBeLessThan(4000);
    client.terminate();
  });

  it('that come after the goodbye are told 503', async () => {
    const { service, client } = await openSockets({ bus: { budgetMs: 9000 } });
    client.pause();
    const late = service.client();
    late.socket.write('GET / HTTP/1.1\r\n');
    await until(() => service.drained.connections === 2);
    const stopped = service.bus.requestShutdown();
    await until(() => service.drained.counts.upgraded === 1);
    late.socket.write(`Host: x\r\n${WEBSOCKET}\r\n`);
    await late.closed;
    expect(late.statuses).toEqual([503]);
    client.terminate();
    await stopped;
  });

  it('that come after the goodbye may be reset by their clients', async () => {
    const { service, client } = await openSockets({ bus: { budgetMs: 9000 } });
    client.pause();
    const uncaught = uncaughtErrors();
    const late = Array.from({ length: 10 }, () => service.client());
    for (const { socket } of late) socket.write('GET / HTTP/1.1\r\n');
    await until(() => service.drained.connections === 11);
    const stopped = service.bus.requestShutdown();
    await until(() => service.drained.counts.upgraded === 1);
    for (const { socket } of late) {
      socket.write(`Host: x\r\n${WEBSOCKET}\r\n`, () => socket.resetAndDestroy());
    }
    await until(() => service.drained.connections === 1);
    client.terminate();
    await stopped;
    expect(uncaught()).toEqual([]);
  });

  it.each([
    ['an upgrade', `GET / HTTP/1.1\r\nHost: x\r\n${WEBSOCKET}\r\n`],
    ['a CONNECT', 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n'],
  ])('%s after the last answer never reaches the application', async (_name, head) => {
    const seen: string[] = [];
    const service = await openService((_request, response) => {
      void service.bus.requestShutdown();
      setImmediate(() => response.end('served'));
    });
    for (const event of ['upgrade', 'connect']) service.server.on(event, () => void seen.push(event));
    const uncaught = uncaughtErrors();
    const late = service.client({ allowHalfOpen: true }).get('/');
    await until(() => late.ended);
    late.socket.write(head);
    await service.bus.requestShutdown();
    late.socket.destroy();
    expect([late.statuses, seen, uncaught()]).toEqual([[200], [], []]);
    expect(service.drained.counts).toMatchObject({ requests: 2, answered: 1, reset: 1, upgraded: 0 });
  });

  it('that come while the service goes on serving are accepted, and told later', async () => {
    const { service, client } = await openSockets({ drain: { readinessDelayMs: 300 } });
    const stopped = service.bus.requestShutdown();
    const late = new WebSocket(`ws://127.0.0.1:${service.port}/`);
    const closed = [closeOf(client), closeOf(late)];
    expect((await Promise.all(closed)).map(({ code }) => code)).toEqual([1001, 1001]);
    await stopped;
  });
});

describe('an upgrade whose request has a body', () => {
  it('is one connection, and nothing but its own protocol is spoken on it', async () => {
    const service = await openService(() => {});
    service.server.on('upgrade', (_request, socket) => {
      socket.on('error', () => {}).write(SWITCHED);
    });
    const client = service.client();
    client.socket.write(`POST /attach HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n${UPGRADE}\r\n`);
    await until(() => service.drained.connections === 1);
    client.socket.write('hello');
    await client.until('101');
    expect(service.drained.connections).toBe(1);
    await service.bus.requestShutdown();
    await client.closed;
    expect(client.text).not.toContain('408');
    expect(service.drained.counts).toMatchObject({ upgraded: 1, refused: 0, requests: 0 });
  });
});

describe('onUpgrade', () => {
  it('says goodbye in the protocol of the application, which is given its time', async () => {
    const said = gate<UpgradeContext>();
    const goOn = gate();
    let asked: IncomingMessage | undefined;
    const service = await openService(() => {}, {
      drain: {
        onUpgrade: async (socket, request, context) => {
          asked = request;
          said.open(context);
          await goOn.opened;
          socket.write('bye');
        },
      },
    });
    service.server.on('upgrade', (_request, socket) => socket.write(SWITCHED));
    const client = service.client();
    await client.get('/room', UPGRADE).until('101 Switching');
    const stopped = service.bus.requestShutdown();
    const { signal } = await said.opened;
    expect(asked?.url).toBe('/room');
    expect(signal.aborted).toBe(false);
    goOn.open();
    await client.closed;
    expect(client.text).toMatch(/bye$/);
    expect(client.error).toBeUndefined();
    expect((await stopped).exitCode).toBe(0);
  });

  it('that throws is logged and costs nobody else a goodbye', async () => {
    let calls = 0;
    const service = await openService(() => {}, {
      drain: {
        onUpgrade: (socket) => {
          calls += 1;
          if (calls === 1) throw new Error('boom');
          socket.write('bye');
        },
      },
    });
    service.server.on('upgrade', (_request, socket) => socket.write(SWITCHED));
    const clients = [service.client(), service.client()];
    for (const client of clients) await client.get('/', UPGRADE).until('101 Switching');
    await service.bus.requestShutdown();
    await Promise.all(clients.map(({ closed }) => closed));
    expect(clients.map(({ text }) => text.endsWith('bye')).sort()).toEqual([false, true]);
    expect(service.log.lines.join('\n')).toContain('onUpgrade failed: boom');
  });

  it('that never settles is ended with the drain phase, and is told by its signal', async () => {
    const context = gate<UpgradeContext>();
    const service = await openService(() => {}, {
      bus: { budgetMs: 1000 },
      drain: {
        onUpgrade: (_socket, _request, given) => {
          context.open(given);
          return new Promise(() => {});
        },
      },
    });
    service.server.on('upgrade', (_request, socket) => socket.write(SWITCHED));
    const client = service.client();
    await client.get('/', UPGRADE).until('101 Switching');
    const report = await service.bus.requestShutdown();
    await client.closed;
    expect((await context.opened).signal.aborted).toBe(true);
    expect(report.durationMs).toBeLessThan(1250);
  });
});

describe('CONNECT', () => {
  it('is a connection that closeAllConnections does not know, and is gone all the same', async () => {
    const service = await openService(() => {}, { bus: { budgetMs: 9000 } });
    service.server.on('connect', (_request, socket) => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
    const client = service.client();
    client.socket.write('CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n\r\n');
    await client.until('200 OK');
    service.server.closeAllConnections();
    expect(service.drained.connections).toBe(1);
    const report = await service.bus.requestShutdown();
    await client.closed;
    expect(client.error).toBeUndefined();
    expect(report.durationMs).toBeGreaterThanOrEqual(2000);
    expect(report.durationMs).toBeLessThan(4000);
  });
});

describe('streams of events', () => {
  const stream = (service: Service, accept: string) => {
    const done = gate<string>();
    get({ port: service.port, host: '127.0.0.1', headers: { accept } }, (response) => {
      response.resume();
      response.once('end', () => done.open('ended')).once('error', () => done.open('cut'));
    });
    return done.opened;
  };
  const endless: Parameters<typeof openService>[0] = (_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write('data: 1\n\n');
  };

  it('of an EventSource are ended in order, and nobody waits for them; what is still written is dropped', async () => {
    let write: (() => void) | undefined;
    const service = await openService((_request, response) => {
      endless(_request, response);
      write = () => response.write('data: 2\n\n');
    });
    const ended = stream(service, 'text/event-stream');
    await until(() => service.drained.openRequests.length === 1);
    const report = await service.bus.requestShutdown();
    write?.();
    expect(await ended).toBe('ended');
    expect(report.durationMs).toBeLessThan(1000);
    expect(service.drained.counts).toMatchObject({ answered: 1, reset: 0 });
  });

  it('that were asked for in another way are waited for: they have an end of their own', async () => {
    const finish = gate();
    const service = await openService(async (request, response) => {
      endless(request, response);
      await finish.opened;
      response.end('data: [DONE]\n\n');
    });
    const ended = stream(service, '*/*');
    await until(() => service.drained.openRequests.length === 1);
    const stopped = service.bus.requestShutdown();
    await until(() => !service.server.listening);
    expect(service.drained.openRequests).toHaveLength(1);
    finish.open();
    expect(await ended).toBe('ended');
    expect((await stopped).exitCode).toBe(0);
  });

  it('negative twin: one that is waited for and never ends is cut off', async () => {
    const service = await openService(endless, { bus: { budgetMs: 1000 } });
    const ended = stream(service, '*/*');
    await until(() => service.drained.openRequests.length === 1);
    await service.bus.requestShutdown();
    expect(await ended).toBe('cut');
    expect(service.drained.counts).toMatchObject({ answered: 0, reset: 1 });
  });
});

describe('requests that do not arrive in full', () => {
  it('half a head of which nothing more comes is told 408 after a second, long before the deadline', async () => {
    const service = await openService(() => {}, { bus: { budgetMs: 9000 } });
    const client = service.client();
    client.socket.write('GET / HTTP/1.1\r\nHost:');
    await until(() => service.drained.connections === 1);
    const report = await service.bus.requestShutdown();
    await client.closed;
    expect([client.statuses, client.error]).toEqual([[408], undefined]);
    expect(report.durationMs).toBeLessThan(3000);
    expect(service.drained.counts).toMatchObject({ requests: 1, refused: 1, reset: 0 });
  });

  it('half a head is known as one on a connection that was used before, and an idle connection is none', async () => {
    const service = await openService((_request, response) => response.end('served'), {
      bus: { budgetMs: 9000 },
    });
    const [half, idle] = [service.client().get('/'), service.client().get('/')];
    await Promise.all([half.until('served'), idle.until('served')]);
    let beginning: Socket | undefined;
    service.server.once('connection', (socket) => void (beginning = socket));
    const third = service.client().get('/');
    await third.until('served');
    const before = beginning?.bytesRead ?? 0;
    for (const client of [half, third]) client.socket.write('GET / HTTP/1.1\r\nHost:');
    // All of it has come when that of the later one has.
    await until(() => (beginning?.bytesRead ?? 0) > before);
    await service.bus.requestShutdown();
    await Promise.all([half, idle, third].map(({ closed }) => closed));
    expect([half, idle, third].map(({ statuses }) => statuses)).toEqual([[200, 408], [200], [200, 408]]);
    expect([half, idle, third].map(({ error }) => error)).toEqual([undefined, undefined, undefined]);
    expect(service.drained.counts).toMatchObject({ requests: 2, refused: 2, reset: 0 });
  });

  it('a body that still comes after its answer is no half a head', async () => {
    const service = await openService((_request, response) => response.end('served'), {
      bus: { budgetMs: 9000 },
    });
    const client = service.client();
    client.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf');
    await client.until('served');
    const report = await service.bus.requestShutdown();
    await client.closed;
    expect([client.statuses, client.error]).toEqual([[200], undefined]);
    expect(report.durationMs).toBeLessThan(900);
    expect(service.drained.counts).toMatchObject({ requests: 0, refused: 0, reset: 0 });
  });

  it('what still comes of such a body after the end of its connection resets nothing', async () => {
    const service = await openService((_request, response) => response.end('served'));
    let serverSide: Socket | undefined;
    service.server.once('connection', (socket) => void (serverSide = socket));
    const client = service.client({ allowHalfOpen: true });
    client.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf');
    await client.until('served');
    const before = serverSide?.bytesRead ?? 0;
    const stopped = service.bus.requestShutdown();
    await until(() => client.ended);
    client.socket.write('more');
    await until(() => serverSide?.bytesRead === before + 4 || client.error !== undefined);
    client.socket.end('!');
    await client.closed;
    expect(client.error).toBeUndefined();
    await stopped;
  });

  it('half a head is not given up while others are answered: then it may be us who are slow', async () => {
    const service = await openService(
      (request, response) => {
        setTimeout(() => response.end('served'), Number(request.url?.slice(1)));
      },
      { bus: { budgetMs: 9000 } },
    );
    const others = [700, 1400].map((ms) => service.client().get(`/${ms}`));
    const slow = service.client();
    slow.socket.write('GET /0 HTTP/1.1\r\nHo');
    await until(() => service.drained.connections === 3 && service.drained.openRequests.length === 2);
    const stopped = service.bus.requestShutdown();
    await Promise.all(others.map(({ closed }) => closed));
    slow.socket.write('st: x\r\n\r\n');
    await slow.closed;
    expect(slow.statuses).toEqual([200]);
    await stopped;
  });

  it('negative twin: one of which more comes is waited for and served', async () => {
    const service = await openService((_request, response) => response.end('served'), {
      bus: { budgetMs: 9000 },
    });
    const client = service.client();
    client.socket.write('GET / HTTP/1.1\r\nHost: x');
    await until(() => service.drained.connections === 1);
    const stopped = service.bus.requestShutdown();
    await until(() => !service.server.listening);
    client.socket.write('\r\n\r\n');
    await client.closed;
    expect(client.text).toContain('served');
    await stopped;
  });

  it('half a body at the deadline is told 408, a whole one 503', async () => {
    const service = await openService((request) => request.resume(), { bus: { budgetMs: 1000 } });
    const [half, whole] = [service.client(), service.client()];
    for (const [client, body] of [
      [half, 'half'],
      [whole, 'whole!!'],
    ] as const) {
      client.socket.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n${body}`);
    }
    await until(() => service.drained.openRequests.length === 2);
    await service.bus.requestShutdown();
    await Promise.all([half.closed, whole.closed]);
    expect([half.statuses, whole.statuses]).toEqual([[408], [503]]);
    expect(service.drained.counts).toMatchObject({ requests: 2, refused: 2, reset: 0 });
  });
});
