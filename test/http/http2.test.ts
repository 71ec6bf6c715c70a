import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2';
import { get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type DrainedServer, type DrainOptions, drainServer } from '../../http/index.js';
import type { ShutdownBus, ShutdownBusOptions } from '../../src/index.js';
import { cert, key } from './certificate.js';
import { gate, openBus, uncaughtErrors, until } from './service.js';

type Listener = (request: Http2ServerRequest, response: Http2ServerResponse) => void;

interface Http2Service {
  readonly server: Http2Server | Http2SecureServer;
  readonly bus: ShutdownBus;
  readonly drained: DrainedServer;
  readonly port: number;
  client(): Promise<ClientHttp2Session>;
}

const undo: (() => void)[] = [];

afterEach(() => {
  for (const work of undo.splice(0)) work();
});

async function open(
  kind: 'h2c' | 'h2',
  listener: Listener | undefined,
  drain: DrainOptions = {},
  options: ShutdownBusOptions = {},
): Promise<Http2Service> {
  const { bus } = openBus(options);
  const server = kind === 'h2' ? createSecureServer({ key, cert, allowHTTP1: true }) : createServer();
  if (listener) server.on('request', listener);
  const drained = drainServer(server, { bus, ...drain });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  undo.push(() => {
    drained.dispose();
    bus.dispose();
    server.close();
  });
  const client = async () => {
    const origin = `${kind === 'h2' ? 'https' : 'http'}://127.0.0.1:${port}`;
    const session = connect(origin, { rejectUnauthorized: false });
    undo.push(() => session.destroy());
    await new Promise((resolve, reject) => session.once('remoteSettings', resolve).once('error', reject));
    return session;
  };
  return { server, bus, drained, port, client };
}

interface Reply {
  readonly status: number | undefined;
  readonly body: string;
  /** 0 is a clean end. */
  readonly code: number;
}

function replyOf(stream: ClientHttp2Stream): Promise<Reply> {
  let status: number | undefined;
  let body = '';
  stream.setEncoding('utf8');
  stream.on('response', (headers) => {
    status = headers[':status'];
  });
  stream.on('data', (chunk: string) => {
    body += chunk;
  });
  stream.on('error', () => {});
  return new Promise((resolve) =>
    stream.once('close', () => resolve({ status, body, code: stream.rstCode ?? 0 })),
  );
}

const ask = (session: ClientHttp2Session, path = '/') => replyOf(session.request({ ':path': path }));
const goawayOf = (session: ClientHttp2Session) =>
  new Promise<{ code: number; lastStreamId: number }>((resolve) =>
    session.once('goaway', (code, lastStreamId) => resolve({ code, lastStreamId })),
  );
const closeOf = (session: ClientHttp2Session) =>
  new Promise<void>((resolve) => session.once('close', () => resolve()));

describe.each(['h2c', 'h2'] as const)('HTTP/2 (%s)', (kind) => {
  it('an idle session gets a GOAWAY and costs no more than the linger', async () => {
    const service = await open(kind, (_request, response) => void response.end('served'));
    const session = await service.client();
    expect(await ask(session)).toEqual({ status: 200, body: 'served', code: 0 });
    const goaway = goawayOf(session);
    const closed = closeOf(session);
    const report = await service.bus.requestShutdown();
    expect(await goaway).toEqual({ code: 0, lastStreamId: 1 });
    await closed;
    expect(report.durationMs).toBeLessThan(1000);
    expect(service.drained.counts).toMatchObject({ openAtStop: 1, requests: 0, reset: 0 });
  });

  it('active streams finish, one of request and response and one of the stream API', async () => {
    const finish = gate();
    const service = await open(kind, undefined);
    service.server.on('stream', async (stream, headers) => {
      if (headers[':path'] !== '/stream') return;
      stream.respond({ ':status': 200 });
      stream.write('begun, ');
      await finish.opened;
      stream.end('finished');
    });
    service.server.on('request', async (request: Http2ServerRequest, response: Http2ServerResponse) => {
      if (request.url === '/stream') return;
      await finish.opened;
      response.end('finished');
    });
    const session = await service.client();
    const replies = [ask(session, '/stream'), ask(session, '/pair')];
    await until(() => service.drained.openRequests.length === 2);
    const stopped = service.bus.requestShutdown();
    await until(() => !service.server.listening);
    expect(service.drained.openRequests).toHaveLength(2);
    finish.open();
    expect(await Promise.all(replies)).toEqual([
      { status: 200, body: 'begun, finished', code: 0 },
      { status: 200, body: 'finished', code: 0 },
    ]);
    const report = await stopped;
    expect(report.exitCode).toBe(0);
    expect(service.drained.counts).toMatchObject({ requestsAtStop: 2, requests: 2, answered: 2, reset: 0 });
  });

  it('a stream that was sent before the client heard of the shutdown is served', async () => {
    const service = await open(kind, (_request, response) => void response.end('served'));
    const session = await service.client();
    await ask(session);
    const reply = ask(session);
    const stopped = service.bus.requestShutdown();
    // Sent just before, and read by the server after: it was open on neither side of the trigger.
    expect(await reply).toEqual({ status: 200, body: 'served', code: 0 });
    await stopped;
    expect(service.drained.counts).toMatchObject({
      requestsAtStop: 0,
      requests: 1,
      answered: 1,
      refused: 0,
      reset: 0,
    });
  });

  it('streams that are still open at the end are told 503, and the session is gone at the deadline', async () => {
    const service = await open(kind, () => {}, {}, { budgetMs: 1000 });
    const session = await service.client();
    const reply = ask(session);
    await until(() => service.drained.openRequests.length === 1);
    const report = await service.bus.requestShutdown();
    expect(await reply).toMatchObject({ status: 503, code: 0 });
    expect(report.durationMs).toBeLessThan(1250);
    expect(service.drained.counts).toMatchObject({ answered: 0, refused: 1, reset: 0 });
  });

  it('streams of the stream API are told 503, too', async () => {
    const service = await open(kind, undefined, {}, { budgetMs: 1000 });
    service.server.on('stream', () => {});
    const session = await service.client();
    const reply = ask(session);
    await until(() => service.drained.openRequests.length === 1);
    await service.bus.requestShutdown();
    expect(await reply).toMatchObject({ status: 503, code: 0 });
  });

  it('an answer waits for the report of the jobs that were begun in its stream', async () => {
    const service = await open(
      kind,
      async () => {
        await new Promise((resolve) => setImmediate(resolve));
        service.bus.jobs.begin({ type: 'render' });
      },
      { answer: (_request, jobs, outcome) => ({ status: 202, body: `${jobs.length} ${outcome}` }) },
      { budgetMs: 1000 },
    );
    const session = await service.client();
    const reply = ask(session);
    await until(() => service.bus.jobs.size === 1);
    await service.bus.requestShutdown();
    expect(await reply).toEqual({ status: 202, body: '1 delivered', code: 0 });
  });

  it('a stream that the application does not see may be broken off by its client', async () => {
    const service = await open(
      kind,
      () => {},
      { readinessPath: '/readyz', idleLingerMs: 900 },
      { budgetMs: 1000 },
    );
    const session = await service.client();
    // Without a window no answer leaves before it is broken off.
    await new Promise<void>((resolve) => session.settings({ initialWindowSize: 0 }, () => resolve()));
    const breakOff = (path: string) => {
      const stream = session.request({ ':path': path });
      stream.once('response', () => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
      return replyOf(stream);
    };
    const uncaught = uncaughtErrors();
    const probe = await breakOff('/readyz');
    // Keeps the last phase from being over at once.
    void ask(session);
    await until(() => service.drained.openRequests.length === 1);
    const delivering = new Promise<void>((resolve) =>
      service.bus.on('phase-started', ({ phase }) => void (phase === 'deliver' && resolve())),
    );
    const stopped = service.bus.requestShutdown();
    await delivering;
    const refused = await breakOff('/late');
    await stopped;
    expect([probe.status, refused.status, uncaught()]).toEqual([200, 503, []]);
  });

  it('trailers of the stream API are sent once, by the application', async () => {
    const finish = gate();
    const service = await open(kind, undefined);
    service.server.on('stream', async (stream) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      await finish.opened;
      stream.end('served');
    });
    const uncaught = uncaughtErrors();
    const session = await service.client();
    const stream = session.request();
    const trailers = new Promise((resolve) => stream.once('trailers', resolve));
    const reply = replyOf(stream);
    await until(() => service.drained.openRequests.length === 1);
    expect(service.drained.openRequests[0]?.response.headersSent).toBe(true);
    const stopped = service.bus.requestShutdown();
    await until(() => !service.server.listening);
    finish.open();
    expect(await reply).toEqual({ status: 200, body: 'served', code: 0 });
    expect(await trailers).toMatchObject({ 'grpc-status': '0' });
    await stopped;
    expect(uncaught()).toEqual([]);
  });

  it('readiness and liveness are answered without the application', async () => {
    const service = await open(kind, () => {}, {
      readinessPath: '/readyz',
      livenessPath: '/livez',
      readinessDelayMs: 200,
    });
    const session = await service.client();
    expect((await ask(session, '/readyz')).status).toBe(200);
    const stopped = service.bus.requestShutdown();
    // A prober opens a session of its own while the listener is open.
    const prober = await service.client();
    const replies = [ask(prober, '/readyz'), ask(prober, '/livez')];
    expect((await Promise.all(replies)).map(({ status }) => status)).toEqual([503, 200]);
    await stopped;
  });

  it('negative twin: without drainServer the session outlives the listener and answers a new stream', async () => {
    const service = await open(kind, (_request, response) => void response.end('served'));
    service.drained.dispose();
    const session = await service.client();
    await service.bus.requestShutdown();
    expect((await ask(session)).status).toBe(200);
  });
});

it('a session from before the drain was attached is ended when it has asked since', async () => {
  const errors = uncaughtErrors();
  const { bus } = openBus();
  const server = createServer((_request, response) => response.end('served'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  undo.push(() => session.destroy());
  expect((await ask(session)).body).toBe('served');
  const drained = drainServer(server, { bus });
  expect((await ask(session)).body).toBe('served');
  const closed = closeOf(session);
  const report = await bus.requestShutdown();
  await closed;
  expect([report.exitCode, drained.connections, errors()]).toEqual([0, 0, []]);
});

describe('a server of HTTP/2 that speaks HTTP/1 too', () => {
  it('drains both', async () => {
    const finish = gate();
    const service = await open('h2', async (request, response) => {
      await finish.opened;
      response.end(`served ${request.httpVersion}`);
    });
    const session = await service.client();
    const second = ask(session);
    const first = new Promise<string>((resolve, reject) => {
      get({ port: service.port, host: '127.0.0.1', rejectUnauthorized: false }, (response) => {
        let body = '';
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () => resolve(`${response.headers.connection} ${body}`));
      }).on('error', reject);
    });
    await until(() => service.drained.openRequests.length === 2);
    const stopped = service.bus.requestShutdown();
    await until(() => !service.server.listening);
    finish.open();
    expect(await first).toBe('close served 1.1');
    expect(await second).toEqual({ status: 200, body: 'served 2.0', code: 0 });
    expect((await stopped).exitCode).toBe(0);
    expect(service.drained.counts).toMatchObject({ requests: 2, answered: 2, reset: 0 });
  });
});
