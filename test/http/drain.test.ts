import { Agent, get, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { ShutdownReport } from '../../src/index.js';
import { RawClient } from './raw-client.js';
import { closeServices, gate, openService, until } from './service.js';

afterEach(closeServices);

const detailsOf = (report: ShutdownReport, name: string) =>
  report.handlers.find((handler) => handler.name.startsWith(name))?.details as Record<string, unknown>;

describe('an idle service', () => {
  it('A22, B19: without clients is gone at once', async () => {
    const { bus, server } = await openService(() => {}, { drain: { idleLingerMs: 1000 } });
    const report = await bus.requestShutdown();
    expect(server.listening).toBe(false);
    expect(report.exitCode).toBe(0);
    expect(report.durationMs).toBeLessThan(900);
    expect(detailsOf(report, 'drain')).toMatchObject({ openAtStop: 0, requests: 0, endedBy: 'quiet' });
  });

  it('that never listened is gone at once, too', async () => {
    const { bus, server } = await openService(() => {});
    await new Promise((resolve) => server.close(resolve));
    const report = await bus.requestShutdown();
    expect(report.exitCode).toBe(0);
    expect(detailsOf(report, 'drain')).not.toHaveProperty('endedBy');
  });

  it('names its port in the report, known only after listening', async () => {
    const { bus, port } = await openService(() => {});
    const report = await bus.requestShutdown();
    const names = report.handlers.map(({ name }) => name);
    expect(names).toContain(`stop intake :${port}`);
    expect(names).toContain(`drain :${port}`);
    expect(names).toContain(`answer open requests :${port}`);
  });

  it('A17: logs the number of its clients', async () => {
    const { bus, drained, client, log, port } = await openService(() => {});
    client();
    client().get('/');
    await until(() => drained.connections === 2 && drained.openRequests.length === 1);
    void bus.requestShutdown();
    await until(() => drained.counts.openAtStop > 0);
    const line = log.lines.find((text) => text.includes('clients'));
    expect(line).toContain(
      `${bus.instanceId} test-service: http :${port}: 2 clients connected, 1 requests open`,
    );
    expect(drained.counts).toMatchObject({ openAtStop: 2, requestsAtStop: 1 });
  });
});

describe('readiness', () => {
  const paths = { readinessPath: '/readyz', livenessPath: '/livez' };

  it('D14: turns to 503 with the trigger while everything else is served on', async () => {
    const { bus, client, server } = await openService((_request, response) => response.end('app'), {
      drain: { ...paths, readinessDelayMs: 400 },
    });
    const before = client().get('/readyz').get('/livez?probe=1');
    await before.until('ok\n');
    await until(() => before.statuses.length === 2);
    expect(before.statuses).toEqual([200, 200]);
    const stopped = bus.requestShutdown();
    expect(server.listening).toBe(true);
    const [ready, live, app] = ['/readyz', '/livez', '/'].map((path) => client().get(path));
    await Promise.all([ready?.closed, live?.closed, app?.closed]);
    expect([ready?.statuses, live?.statuses, app?.statuses]).toEqual([[503], [200], [200]]);
    for (const { text } of [ready, live, app] as { text: string }[])
      expect(text).toContain('Connection: close\r\n');
    const report = await stopped;
    expect(report.durationMs).toBeGreaterThanOrEqual(400);
    // Probes are nobody's requests.
    expect(detailsOf(report, 'answer')).toMatchObject({ requests: 1, answered: 1 });
  });

  it('never reaches the application, other methods and paths do', async () => {
    const seen: (string | undefined)[] = [];
    const { client } = await openService(
      (request, response) => {
        seen.push(`${request.method} ${request.url}`);
        response.end();
      },
      { drain: paths },
    );
    const reader = client().get('/readyz').get('/readyz/x').get('/livez').get('/');
    reader.socket.write('POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n');
    await until(() => reader.statuses.length === 5);
    expect(seen).toEqual(['GET /readyz/x', 'GET /', 'POST /readyz']);
  });

  it('belongs to the application when no path is set', async () => {
    const { client } = await openService((request, response) => response.end(`app ${request.url}`));
    const reader = client().get('/readyz');
    await reader.until('app /readyz');
  });

  it('B10: its delay does not hold up SIGQUIT', async () => {
    const { host, bus, server } = await openService(() => {}, { drain: { readinessDelayMs: 1000 } });
    const stopped = new Promise<ShutdownReport>((resolve) => bus.once('stopped', resolve));
    host.kill('SIGQUIT');
    expect((await stopped).durationMs).toBeLessThan(900);
    expect(server.listening).toBe(false);
  });
});

describe('a server that is handed its connections by another one', () => {
  it('ends idle ones without an answer that nobody asked for', async () => {
    const service = await openService((_request, response) => response.end('served'));
    const front = createNetServer((socket) => void service.server.emit('connection', socket));
    service.server.close();
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
    const client = new RawClient((front.address() as AddressInfo).port);
    await client.get('/').until('served');
    const report = await service.bus.requestShutdown();
    await client.closed;
    front.close();
    expect([client.statuses, client.error]).toEqual([[200], undefined]);
    expect(service.drained.counts).toMatchObject({ requests: 0, refused: 0 });
    expect(report.durationMs).toBeLessThan(900);
  });
});

describe('requests under way', () => {
  it('B03, B05: are answered to the end, with Connection: close, before the shutdown goes on', async () => {
    const finish = gate();
    const { bus, client, drained } = await openService(async (_request, response) => {
      await finish.opened;
      response.end('whole');
    });
    const reader = client().get('/');
    await until(() => drained.openRequests.length === 1);
    const stopped = bus.requestShutdown();
    await until(() => !drained.openRequests[0]?.response.headersSent);
    finish.open();
    await reader.closed;
    expect([reader.error, reader.statuses, reader.body]).toEqual([undefined, [200], 'whole']);
    expect(reader.text).toContain('Connection: close\r\n');
    expect(detailsOf(await stopped, 'drain')).toMatchObject({ requestsAtStop: 1, answered: 1, reset: 0 });
  });

  it('B05: of which only the beginning has come are waited for', async () => {
    const { bus, client, drained } = await openService((_request, response) => response.end('served'), {
      drain: { idleLingerMs: 0 },
    });
    const reader = client();
    reader.socket.write('GET / HTTP/1.1\r\nHo');
    await until(() => drained.connections === 1);
    const stopped = bus.requestShutdown();
    await until(() => drained.counts.endedBy !== undefined);
    for (let turns = 0; turns < 20; turns += 1) await new Promise((resolve) => setImmediate(resolve));
    reader.socket.write('st: x\r\n\r\n');
    await reader.closed;
    expect([reader.error, reader.body]).toEqual([undefined, 'served']);
    await stopped;
  });

  it('B05: an upload that is answered before its end gets its answer whole', async () => {
    const { bus, client, drained } = await openService((_request, response) => {
      void bus.requestShutdown();
      response.writeHead(413);
      response.end('too large');
    });
    const reader = client();
    reader.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n');
    await until(() => drained.connections === 1);
    // Bytes that arrive after the answer: closed at once, the server would reset the answer away.
    for (let part = 0; part < 50; part += 1) reader.socket.write(Buffer.alloc(100_000));
    await reader.until('too large');
    expect(reader.error).toBeUndefined();
    expect(reader.statuses).toEqual([413]);
  });

  it('headers sent before the trigger: the connection is ended after it, and serves one on its way', async () => {
    const finish = gate();
    const { bus, client, drained } = await openService(async (request, response) => {
      if (request.url === '/2') return void response.end('second');
      response.writeHead(200, { 'Content-Length': 5 });
      response.write('fir');
      await finish.opened;
      response.end('st');
    });
    const reader = client().get('/1');
    await reader.until('fir');
    const stopped = bus.requestShutdown();
    finish.open();
    await reader.until('first');
    reader.get('/2');
    await reader.closed;
    expect([reader.error, reader.body]).toEqual([undefined, 'second']);
    expect(reader.text.match(/Connection: close/g)).toHaveLength(1);
    expect(detailsOf(await stopped, 'drain')).toMatchObject({ answered: 2, openAtStop: 1 });
    expect(drained.connections).toBe(0);
  });
});

describe('an answer that is still leaving at the trigger', () => {
  const LENGTH = 20_000_000;
  const long: RequestListener = (request, response) => {
    if (request.url === '/long') response.end('x'.repeat(LENGTH));
    else response.end('served');
  };

  /** A client that has asked for a long answer and reads nothing yet, beside an idle one. */
  async function openSlow() {
    const service = await openService(long);
    await service.client().get('/').until('served');
    const slow = service.client();
    slow.socket.pause();
    const ended = new Promise<void>((resolve) => {
      service.server.once('request', () => setImmediate(resolve));
    });
    slow.get('/long');
    await ended;
    return { service, slow };
  }

  it('arrives whole: no other connection that is idle changes that', async () => {
    const { service, slow } = await openSlow();
    const stopped = service.bus.requestShutdown();
    slow.socket.resume();
    await slow.closed;
    expect([slow.body.length, slow.error]).toEqual([LENGTH, undefined]);
    await stopped;
    expect(service.drained.counts).toMatchObject({ requests: 1, answered: 1, left: 0 });
  });

  it('negative twin: whose client leaves in the middle of it is none that was answered', async () => {
    const { service, slow } = await openSlow();
    const stopped = service.bus.requestShutdown();
    slow.socket.destroy();
    await stopped;
    expect(service.drained.counts).toMatchObject({ requests: 1, answered: 0, left: 1 });
  });
});

describe('keep-alive connections', () => {
  it('a request on its way when the trigger comes is answered, on every idle connection', async () => {
    const { bus, client } = await openService((_request, response) => response.end('served'));
    const readers = Array.from({ length: 20 }, () => client());
    for (const reader of readers) {
      reader.get('/1');
      await reader.until('served');
      reader.text = '';
    }
    const stopped = bus.requestShutdown();
    for (const reader of readers) reader.get('/2');
    await Promise.all(readers.map(({ closed }) => closed));
    expect(readers.map(({ error, body }) => error ?? body)).toEqual(readers.map(() => 'served'));
    expect(detailsOf(await stopped, 'drain')).toMatchObject({ openAtStop: 20, answered: 20, reset: 0 });
  });

  it('the negative twin: with the server’s own close() such requests are lost', async () => {
    const { server, client } = await openService((_request, response) => response.end('served'));
    const readers = Array.from({ length: 20 }, () => client());
    for (const reader of readers) {
      reader.get('/1');
      await reader.until('served');
      reader.text = '';
    }
    for (const reader of readers) reader.get('/2');
    server.close();
    await Promise.all(readers.map(({ closed }) => closed));
    expect(readers.filter(({ body }) => body === 'served')).toEqual([]);
  });

  it('silent connections get the time to send their first request', async () => {
    const { bus, client, drained } = await openService((_request, response) => response.end('served'));
    const silent = client();
    await until(() => drained.connections === 1);
    const stopped = bus.requestShutdown();
    await until(() => drained.counts.endedBy !== undefined);
    silent.get('/');
    await silent.closed;
    expect([silent.error, silent.body]).toEqual([undefined, 'served']);
    await stopped;
  });

  it.each([0, 100, 300])(
    'A33: an idle one is ended without a reset when it was idle for %i ms',
    async (idleLingerMs) => {
      const { bus, client, drained } = await openService((_request, response) => response.end('served'), {
        drain: { idleLingerMs },
      });
      const idle = client().get('/');
      await idle.until('served');
      const silent = client();
      await until(() => drained.connections === 2);
      const since = performance.now();
      await bus.requestShutdown();
      const lasted = performance.now() - since;
      expect(lasted).toBeGreaterThan(idleLingerMs - 50);
      expect(lasted).toBeLessThan(idleLingerMs + 800);
      await Promise.all([idle.closed, silent.closed]);
      expect([idle.error, idle.ended, silent.error, silent.ended]).toEqual([
        undefined,
        true,
        undefined,
        true,
      ]);
    },
  );

  it.each([
    ['four times that long before the trigger: a fifth', 1700, 80, 390],
    ['not so long before: all of it', 800, 400, 1300],
  ])('one that was idle for %s', async (_name, idleMs, least, most) => {
    const { bus, client } = await openService((_request, response) => response.end('served'), {
      drain: { idleLingerMs: 400 },
    });
    const idle = client().get('/');
    await idle.until('served');
    await new Promise((resolve) => setTimeout(resolve, idleMs));
    const report = await bus.requestShutdown();
    expect(report.durationMs).toBeGreaterThanOrEqual(least - 1);
    expect(report.durationMs).toBeLessThan(most);
    await idle.closed;
    expect(idle.error).toBeUndefined();
  });

  it('a client that ignores the end of its connection is closed after a while', async () => {
    const { bus, drained, client } = await openService((_request, response) => {
      void bus.requestShutdown();
      setImmediate(() => response.end('served'));
    });
    const stubborn = client({ allowHalfOpen: true }).get('/');
    await stubborn.until('served');
    const report = await bus.requestShutdown();
    expect(drained.connections).toBe(0);
    expect(report.durationMs).toBeGreaterThanOrEqual(245);
    expect(report.durationMs).toBeLessThan(1000);
    stubborn.socket.destroy();
  });

  it('what comes after the last answer never reaches the application', async () => {
    let seen = 0;
    const { bus, client, drained } = await openService((_request, response) => {
      seen += 1;
      void bus.requestShutdown();
      setImmediate(() => response.end('served'));
    });
    const late = client({ allowHalfOpen: true }).get('/');
    await until(() => late.ended);
    late.get('/');
    await bus.requestShutdown();
    late.socket.destroy();
    expect([seen, late.statuses]).toEqual([1, [200]]);
    expect(drained.counts).toMatchObject({ requests: 2, reset: 1, answered: 1 });
  });

  it('pooled clients through a shutdown see no reset: every request is answered or refused a connection', async () => {
    const { bus, port } = await openService((_request, response) =>
      setImmediate(() => response.end('served')),
    );
    const agent = new Agent({ keepAlive: true, maxSockets: 16 });
    const failures: string[] = [];
    let served = 0;
    const request = () =>
      new Promise<boolean>((resolve) => {
        get({ host: '127.0.0.1', port, agent }, (response) => {
          response.resume();
          response.on('end', () => resolve(true));
          response.on('error', (error) => failures.push(error.message));
        }).on('error', (error: NodeJS.ErrnoException) => {
          if (error.code !== 'ECONNREFUSED') failures.push(error.code ?? error.message);
          resolve(false);
        });
      });
    const workers = Array.from({ length: 16 }, async () => {
      while (await request()) served += 1;
    });
    await until(() => served > 200);
    await bus.requestShutdown();
    await Promise.all(workers);
    agent.destroy();
    expect(failures).toEqual([]);
  });
});
