import dns from 'node:dns';
import { createServer } from 'node:http';
import { connect } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type DrainOptions, drainServer, fastifyShutdown, readinessProbe } from '../../../http/index.js';
import type { ShutdownBus, ShutdownBusOptions } from '../../../src/index.js';
import { RawClient } from '../raw-client.js';
import { gate, openBus, until } from '../service.js';
import { describeFramework } from './suite.js';

describeFramework('Fastify', async ({ bus, held, now, job, pieces }, drain) => {
  const app = fastify();
  if (drain) await app.register(fastifyShutdown, drain);
  const probe = readinessProbe(bus);
  app.get('/held', () => held());
  app.get('/now', async () => now());
  app.get('/stream', (_request, reply) => reply.send(Readable.from(pieces(), { objectMode: false })));
  app.get('/ready', (request, reply) => probe(request.raw, reply.hijack().raw));
  app.post('/job', ({ body }) => job(body));
  await app.listen({ port: 0, host: '127.0.0.1' });
  return { server: app.server, undo: () => app.close() };
});

const apps: { app: { close(): PromiseLike<unknown> }; bus: ShutdownBus }[] = [];

afterEach(async () => {
  vi.restoreAllMocks();
  for (const { app, bus } of apps.splice(0)) {
    await app.close();
    bus.dispose();
  }
});

interface Setup {
  readonly fastify?: FastifyServerOptions;
  readonly drain?: DrainOptions | false;
  readonly bus?: ShutdownBusOptions;
  readonly host?: string;
  /** Called before the application listens. */
  readonly with?: (app: FastifyInstance, bus: ShutdownBus) => unknown;
}

/** An application with GET /held and GET /now, and with an onClose hook. */
async function openApp(setup: Setup = {}) {
  const { bus, log } = openBus({ budgetMs: 1500, ...setup.bus });
  const app = fastify(setup.fastify);
  const held = gate();
  const events: string[] = [];
  let entered = 0;
  if (setup.drain !== false) await app.register(fastifyShutdown, { bus, ...setup.drain });
  app.addHook('onClose', async () => void events.push('onClose'));
  app.get('/held', async () => {
    entered += 1;
    await held.opened;
    events.push('answered');
    return 'held';
  });
  app.get('/now', async () => 'now');
  await setup.with?.(app, bus);
  apps.push({ app, bus });
  await app.listen({ port: 0, host: setup.host ?? '127.0.0.1' });
  const { port } = app.server.address() as AddressInfo;
  const client = (host?: string) => new RawClient(port, { ...(host && { host }) });
  /** An idle connection and one with a request in flight. */
  const twoClients = async (host?: string) => {
    const [idle, busy] = [client(host).get('/now'), client(host).get('/held')];
    await idle.until('now');
    await until(() => entered === 1);
    return { idle, busy };
  };
  return { app, bus, log, held, events, port, client, twoClients };
}

const handlersOf = ({ handlers }: { handlers: readonly { name: string; outcome: string }[] }) =>
  Object.fromEntries(handlers.map(({ name, outcome }) => [name.replace(/:\d+/, ':port'), outcome]));

describe('fastifyShutdown', () => {
  it('has Fastify serve what comes during the drain; onClose comes after the last answer', async () => {
    const { bus, held, events, twoClients } = await openApp();
    const { idle, busy } = await twoClients();
    const report = bus.requestShutdown();
    idle.get('/now');
    await idle.closed;
    expect(idle.statuses).toEqual([200, 200]);
    expect(events).toEqual([]);
    held.open();
    await busy.closed;
    expect(handlersOf(await report)).toMatchObject({ 'drain :port': 'done', 'close fastify': 'done' });
    expect(events).toEqual(['answered', 'onClose']);
  });

  it('twin: without it, app.close() in the drain phase loses what comes', async () => {
    const { app, bus, held, twoClients } = await openApp({ drain: false });
    const { idle, busy } = await twoClients();
    bus.subscribeShutdown(() => app.close() as Promise<undefined>, { name: 'close', phase: 'drain' });
    const report = bus.requestShutdown();
    idle.get('/now');
    // On the connection of a request in flight: nobody closes that as idle.
    busy.get('/now');
    await idle.closed;
    expect(idle.statuses).toEqual([200]);
    held.open();
    await busy.closed;
    expect(busy.statuses).toEqual([200, 503]);
    await report;
  });

  it('runs the onClose hooks after the reports, which may need what they close', async () => {
    const order: string[] = [];
    const { bus, twoClients, held } = await openApp({
      with: (app, bus) => {
        app.addHook('onClose', async () => void order.push('database closed'));
        bus.jobs.begin({ type: 'endless' });
        bus.on('delivery', ({ envelope }) => order.push(`${envelope.data.jobType} reported`));
      },
    });
    const { busy } = await twoClients();
    const report = bus.requestShutdown();
    held.open();
    await busy.closed;
    await report;
    expect(order).toEqual(['endless reported', 'database closed']);
  });

  it('is taken off by an app.close() without a shutdown, and the next shutdown knows nothing of it', async () => {
    const { app, bus, events } = await openApp();
    await app.close();
    await app.close();
    expect(Object.hasOwn(app.server, 'emit')).toBe(false);
    const { handlers } = await bus.requestShutdown();
    expect(handlers.map(({ name }) => name).filter((name) => /drain :|intake|fastify/.test(name))).toEqual(
      [],
    );
    expect(events).toEqual(['onClose']);
  });

  it('is taken off also when the application never listened', async () => {
    const { bus } = openBus();
    const app = fastify();
    await app.register(fastifyShutdown, { bus });
    app.get('/', async () => 'injected');
    expect((await app.inject('/')).body).toBe('injected');
    await app.close();
    expect(handlersOf(await bus.requestShutdown())).not.toHaveProperty('close fastify');
    bus.dispose();
  });

  it('closes the application once when a shutdown begins while it is being closed', async () => {
    const { app, bus, held, events, twoClients } = await openApp();
    const { busy } = await twoClients();
    const closed = app.close();
    const report = bus.requestShutdown();
    held.open();
    await busy.closed;
    await Promise.all([closed, report]);
    expect(busy.statuses).toEqual([200]);
    expect(events).toEqual(['answered', 'onClose']);
  });

  it('keeps connections when somebody else calls app.close() during a shutdown, whose 503 stays', async () => {
    const { app, bus, held, events, twoClients, client } = await openApp();
    const { idle, busy } = await twoClients();
    const waiting = client();
    const report = bus.requestShutdown();
    const closed = app.close();
    idle.get('/now');
    waiting.get('/now');
    await Promise.all([idle.closed, waiting.closed]);
    expect(idle.statuses).toEqual([200, 503]);
    expect(waiting.statuses).toEqual([503]);
    expect(events).toEqual([]);
    held.open();
    await busy.closed;
    expect(busy.statuses).toEqual([200]);
    await Promise.all([closed, report]);
    expect(events).toEqual(['answered', 'onClose']);
  });

  it('leaves an onClose hook that hangs behind when the release is over', async () => {
    const never = gate();
    const { bus } = await openApp({
      bus: { budgetMs: 500 },
      with: (app) => app.addHook('onClose', () => never.opened),
    });
    expect(handlersOf(await bus.requestShutdown())).toMatchObject({ 'close fastify': 'timed-out' });
    never.open();
  });

  it.each<[string, Setup['fastify']]>([
    ['forceCloseConnections, which finds nothing left to close', { forceCloseConnections: true }],
    [
      'a server of your own making, and with a request timeout',
      { requestTimeout: 60_000, serverFactory: (handler) => createServer(handler) },
    ],
  ])('works with %s', async (_name, options) => {
    const { bus, held, twoClients } = await openApp({ fastify: options });
    const { idle, busy } = await twoClients();
    const report = bus.requestShutdown();
    idle.get('/now');
    await idle.closed;
    held.open();
    await busy.closed;
    expect([idle.statuses, busy.statuses]).toEqual([[200, 200], [200]]);
    await report;
  });

  it('drains HTTP/2: the stream is answered, and the session gets its GOAWAY', async () => {
    const { bus } = openBus({ budgetMs: 1500 });
    const app = fastify({ http2: true });
    const held = gate();
    const entered = gate();
    await app.register(fastifyShutdown, { bus });
    app.get('/', async () => {
      entered.open();
      await held.opened;
      return 'streamed';
    });
    apps.push({ app, bus });
    const session = connect(await app.listen({ port: 0, host: '127.0.0.1' }));
    const ended = new Promise<number>((resolve) => session.once('goaway', resolve));
    const stream = session.request({ ':path': '/' }).setEncoding('utf8');
    await entered.opened;
    const report = bus.requestShutdown();
    held.open();
    let text = '';
    for await (const chunk of stream) text += chunk;
    expect(text).toBe('streamed');
    expect(await ended).toBe(0);
    expect(handlersOf(await report)).toMatchObject({ 'close fastify': 'done' });
  });

  it('answers the probes from any scope, and without the prefix that it was registered with', async () => {
    const { bus, client } = await openApp({
      drain: false,
      with: (app, bus) =>
        app.register(async (scope) => {
          await scope.register(fastifyShutdown, { bus, prefix: '/api', readinessPath: '/ready' });
        }),
    });
    const reader = client().get('/ready');
    await reader.until('ok\n');
    expect(handlersOf(await bus.requestShutdown())).toMatchObject({ 'close fastify': 'done' });
  });

  it('is registered once, and with options that are right, or register says what is wrong', async () => {
    const { bus } = openBus();
    const app = fastify();
    await app.register(fastifyShutdown, { bus });
    await expect(app.register(fastifyShutdown, { bus }).ready()).rejects.toThrow(/drained already/);
    bus.dispose();

    const other = fastify();
    const wrong = { bus, readinesPath: '/ready' };
    await expect(async () => void (await other.register(fastifyShutdown, wrong))).rejects.toThrow(
      /readinesPath/,
    );
    // @ts-expect-error: readinesPath is misspelt; the types of both sides must see that.
    void (() => other.register(fastifyShutdown, { bus, readinesPath: '/ready' }));
  });
});

describe('fastifyShutdown on localhost', () => {
  /** This machine may know localhost by one address only. */
  function localhostIsTwo() {
    const { lookup } = dns;
    const both = [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ];
    vi.spyOn(dns, 'lookup').mockImplementation(((...args: Parameters<typeof dns.lookup>) => {
      const [host, options, callback] = args as unknown as [
        string,
        dns.LookupOptions,
        (...found: unknown[]) => void,
      ];
      // Newer versions of Node look every host up that a server listens on.
      if (host === 'localhost' && options.all) process.nextTick(callback, null, both);
      else lookup(...args);
    }) as typeof dns.lookup);
  }

  it.each([undefined, true] as const)(
    'drains the second address like the first, with forceCloseConnections %s',
    async (forceCloseConnections) => {
      localhostIsTwo();
      const { app, bus, held, twoClients } = await openApp({
        host: 'localhost',
        fastify: { ...(forceCloseConnections && { forceCloseConnections }) },
      });
      const { idle, busy } = await twoClients('::1');
      // With its first server Fastify closes the others.
      const closed = new Promise((resolve) => app.server.once('close', resolve));
      const report = bus.requestShutdown();
      await closed;
      idle.get('/now');
      await idle.closed;
      held.open();
      await busy.closed;
      expect([idle.statuses, busy.statuses]).toEqual([[200, 200], [200]]);
      const { handlers } = await report;
      expect(handlers.filter(({ name }) => name.startsWith('drain :'))).toMatchObject([
        { outcome: 'done', details: { requests: 0 } },
        { outcome: 'done', details: { requests: 2, answered: 2, reset: 0 } },
      ]);
    },
  );

  it('twin: draining app.server alone resets the idle connection to the second address', async () => {
    localhostIsTwo();
    const { app, bus, held, twoClients } = await openApp({
      host: 'localhost',
      drain: false,
      with: (app, bus) => drainServer(app.server, { bus }),
    });
    const { idle, busy } = await twoClients('::1');
    const closed = new Promise((resolve) => app.server.once('close', resolve));
    const report = bus.requestShutdown();
    await closed;
    idle.get('/now');
    await idle.closed;
    expect(idle.statuses).toEqual([200]);
    held.open();
    await busy.until('held');
    await report;
  });

  it('says so when Fastify listens on an address whose server cannot be found', async () => {
    localhostIsTwo();
    const { log } = await openApp({
      host: 'localhost',
      with: (app) => {
        const key = Object.getOwnPropertySymbols(app).find(
          ({ description }) => description === 'fastify.serverBindings',
        ) as symbol;
        const bindings = (app as unknown as Record<symbol, unknown[]>)[key] as unknown[];
        // Another Fastify may keep them elsewhere.
        app.addresses = () =>
          [...bindings, app.server].map((one) => (one as typeof app.server).address() as AddressInfo);
        Object.defineProperty(app, key, {
          value: Object.assign([], { push: (one: unknown) => bindings.push(one) }),
        });
      },
    });
    expect(log.lines.join('\n')).toMatch(/fastify listens on 2 addresses, and 1 could be found/);
  });
});
