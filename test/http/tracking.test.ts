import { createServer } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { drainServer } from '../../http/index.js';
import type { Job } from '../../src/index.js';
import { RawClient } from './raw-client.js';
import { closeServices, gate, listen, openBus, openService, until } from './service.js';

afterEach(closeServices);

describe('clients', () => {
  it('A14: a client that never sends a byte is tracked from its accept on', async () => {
    const { drained, client } = await openService(() => {});
    expect(drained.connections).toBe(0);
    const silent = client();
    await until(() => drained.connections === 1);
    expect(drained.openRequests).toEqual([]);
    silent.socket.destroy();
    await until(() => drained.connections === 0);
  });

  it('A29: a finished request leaves the list, its connection stays until it closes', async () => {
    const { drained, client } = await openService((_request, response) => response.end('done'));
    const reader = client().get('/');
    await reader.until('done');
    await until(() => drained.openRequests.length === 0);
    expect(drained.connections).toBe(1);
    reader.socket.end();
    await until(() => drained.connections === 0);
  });

  it('A29: a client that goes away in the middle of its request leaves the list', async () => {
    const { drained, client } = await openService(() => {});
    const reader = client().get('/');
    await until(() => drained.openRequests.length === 1);
    reader.socket.destroy();
    await until(() => drained.openRequests.length === 0 && drained.connections === 0);
  });

  it('A29: so do all requests it had pipelined', async () => {
    const { drained, client } = await openService(() => {});
    const reader = client().get('/1').get('/2').get('/3');
    await until(() => drained.openRequests.length === 3);
    reader.socket.destroy();
    await until(() => drained.openRequests.length === 0);
  });

  it('B18: counts nothing before the trigger', async () => {
    const { drained, client } = await openService((_request, response) => response.end('done'));
    await client().get('/').until('done');
    expect(drained.counts).toEqual({
      openAtStop: 0,
      requestsAtStop: 0,
      accepted: 0,
      requests: 0,
      answered: 0,
      refused: 0,
      reset: 0,
      left: 0,
      upgraded: 0,
    });
  });
});

describe('jobs of a request', () => {
  it('A07: a job begun while a request is handled belongs to it, also after an await', async () => {
    const { drained, bus, client } = await openService(async (request) => {
      bus.jobs.begin({ type: `sync ${request.url}` });
      await new Promise((resolve) => setImmediate(resolve));
      bus.jobs.begin({ type: `late ${request.url}` });
    });
    client().get('/a');
    client().get('/b');
    bus.jobs.begin({ type: 'of nobody' });
    await until(() => bus.jobs.size === 5);
    const jobs = drained.openRequests.map(({ request, jobs }) => [request.url, jobs.map(({ type }) => type)]);
    expect(Object.fromEntries(jobs)).toEqual({ '/a': ['sync /a', 'late /a'], '/b': ['sync /b', 'late /b'] });
  });

  it.each(['data', 'end'])(
    "A07: a job begun by a body's %s listener belongs to the request",
    async (event) => {
      const { drained, bus, client } = await openService((request) => {
        request.resume().once(event, () => bus.jobs.begin({ type: String(request.url) }));
      });
      const clients = ['/a', '/b'].map((path) => {
        const one = client();
        one.socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n`);
        return one;
      });
      await until(() => drained.openRequests.length === 2);
      for (const { socket } of clients) socket.write('body');
      await until(() => bus.jobs.size === 2);
      for (const { request, jobs } of drained.openRequests)
        expect(jobs.map(({ type }) => type)).toEqual([request.url]);
    },
  );

  it('A07: a finished job is taken off its request', async () => {
    const jobs: Job[] = [];
    const { drained, bus, client } = await openService(() => {
      jobs.push(bus.jobs.begin({ type: 'one' }), bus.jobs.begin({ type: 'two' }));
    });
    client().get('/');
    await until(() => jobs.length === 2);
    jobs[0]?.complete();
    expect(drained.openRequests[0]?.jobs.map(({ type }) => type)).toEqual(['two']);
    jobs[1]?.complete();
    expect(drained.openRequests[0]?.jobs).toEqual([]);
  });

  it('A07: a job begun after its request was answered belongs to nobody', async () => {
    const after = gate();
    const { drained, bus, client } = await openService(async (_request, response) => {
      response.end('done');
      await after.opened;
      bus.jobs.begin({ type: 'afterwards' });
    });
    const reader = client().get('/');
    await reader.until('done');
    await until(() => drained.openRequests.length === 0);
    reader.get('/');
    await until(() => drained.openRequests.length === 0);
    after.open();
    await until(() => bus.jobs.size > 0);
    expect(drained.openRequests.flatMap(({ jobs }) => jobs)).toEqual([]);
  });

  it('A07: two servers on one bus keep their jobs apart', async () => {
    const { bus } = openBus();
    const servers = ['left', 'right'].map((type) => createServer(() => void bus.jobs.begin({ type })));
    const drains = servers.map((server) => drainServer(server, { bus }));
    const clients = await Promise.all(
      servers.map(async (server) => new RawClient(await listen(server)).get('/')),
    );
    await until(() => bus.jobs.size === 2);
    const types = drains.map(({ openRequests }) =>
      openRequests.flatMap(({ jobs }) => jobs.map(({ type }) => type)),
    );
    expect(types).toEqual([['left'], ['right']]);
    for (const { socket } of clients) socket.destroy();
    for (const server of servers) server.close();
    bus.dispose();
  });
});

describe('the server itself', () => {
  it('is given back as it was by dispose, twice if you like', async () => {
    const { bus } = openBus();
    const server = createServer();
    const before = ['connection', 'request', 'close', 'listening'].map((event) =>
      server.listenerCount(event),
    );
    const emit = server.emit;
    const drained = drainServer(server, { bus });
    expect(server.emit).not.toBe(emit);
    drained.dispose();
    drained.dispose();
    expect(server.emit).toBe(emit);
    expect(Object.hasOwn(server, 'emit')).toBe(false);
    expect(
      ['connection', 'request', 'close', 'listening'].map((event) => server.listenerCount(event)),
    ).toEqual(before);
    const report = await bus.requestShutdown();
    expect(report.handlers.filter(({ priority }) => priority === 300)).toEqual([]);
    bus.dispose();
  });

  it('keeps whatever somebody else put over emit, and only passes on then', async () => {
    const { bus } = openBus();
    const server = createServer((_request, response) => response.end('served'));
    const drained = drainServer(server, { bus });
    const ours = server.emit;
    const theirs = ((...args: Parameters<typeof ours>) => ours.apply(server, args)) as typeof ours;
    server.emit = theirs;
    drained.dispose();
    expect(server.emit).toBe(theirs);
    const client = new RawClient(await listen(server)).get('/', 'Connection: close\r\n');
    await client.closed;
    expect(client.body).toBe('served');
    server.close();
    bus.dispose();
  });

  it('A10: can be listening already: an idle connection from before is closed, too', async () => {
    const { bus } = openBus();
    const server = createServer((_request, response) => response.end('served'));
    const port = await listen(server);
    const before = new RawClient(port).get('/');
    await before.until('served');
    const drained = drainServer(server, { bus, idleLingerMs: 20 });
    expect(drained.connections).toBe(0);
    const report = await bus.requestShutdown();
    await before.closed;
    expect([before.error, before.ended]).toEqual([undefined, true]);
    expect(report.exitCode).toBe(0);
    expect(report.durationMs).toBeLessThan(1000);
    bus.dispose();
  });

  it('its checkContinue listeners get their requests, and may emit them again', async () => {
    const service = await openService((_request, response) => response.end('served'));
    service.server.on('checkContinue', (request, response) => {
      response.writeContinue();
      service.server.emit('request', request, response);
    });
    const client = service.client();
    client.socket.write('POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n');
    await client.until('served');
    expect(client.statuses).toEqual([100, 200]);
    await until(() => service.drained.openRequests.length === 0);
  });

  it('one that is emitted again after its client has left is waited for by nobody', async () => {
    const service = await openService(() => {}, { bus: { budgetMs: 9000 } });
    const again = new Promise<() => boolean>((resolve) => {
      service.server.on('checkContinue', (request, response) => {
        response.once('close', () => resolve(() => service.server.emit('request', request, response)));
      });
    });
    const client = service.client();
    client.socket.write('POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
    await until(() => service.drained.openRequests.length === 1);
    const stopped = service.bus.requestShutdown();
    client.socket.destroy();
    const emit = await again;
    expect(emit()).toBe(true);
    expect((await stopped).durationMs).toBeLessThan(2000);
    expect(service.drained.counts).toMatchObject({ requests: 1, left: 1 });
  });
});
