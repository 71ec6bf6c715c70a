import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { leaveBacklogToOthers } from '../../http/backlog.js';
import { adoptServer, type DrainedServer } from '../../http/drain-server.js';
import { drainServer } from '../../http/index.js';
import type { ShutdownBus, ShutdownReport } from '../../src/index.js';
import { RawClient } from './raw-client.js';
import { gate, listen, openBus, until } from './service.js';

const undo: (() => unknown)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
  delete (globalThis as { [key: symbol]: unknown })[Symbol.for('shutdown-bus.backlog-of-others')];
});

function newBus(): ShutdownBus {
  const { bus } = openBus();
  undo.push(() => bus.dispose());
  return bus;
}

function newServer(
  listener: Parameters<typeof createServer>[1] = (_, response) => response.end('served'),
): Server {
  const server = createServer(listener);
  undo.push(
    () => server.closeAllConnections(),
    () => server.close(),
  );
  return server;
}

function kept(drained: DrainedServer | undefined): DrainedServer | undefined {
  undo.push(() => drained?.dispose());
  return drained;
}

const drainsIn = ({ handlers }: ShutdownReport) => handlers.filter(({ name }) => name.startsWith('drain'));

/** A shutdown that begins while an adopted server has one request, which is answered on `open`. */
async function stopDuringRequest() {
  const bus = newBus();
  const { opened, open } = gate();
  let requests = 0;
  const server = newServer((_, response) => {
    requests += 1;
    void opened.then(() => response.end('served'));
  });
  kept(adoptServer(server, { bus }));
  const client = new RawClient(await listen(server)).get('/');
  await until(() => requests === 1);
  return { bus, server, client, open, stopped: bus.requestShutdown() };
}

describe('a server that was adopted', () => {
  it('is drained like any other', async () => {
    const { server, client, open, stopped } = await stopDuringRequest();
    await until(() => !server.listening);
    open();
    const report = await stopped;
    expect([client.statuses, client.error]).toEqual([[200], undefined]);
    expect(drainsIn(report)).toHaveLength(1);
  });

  it.each(['listening', 'not listening yet'])(
    'makes way when the application drains it itself, %s',
    async (when) => {
      const [theirs, own] = [newBus(), newBus()];
      const server = newServer();
      const adopted = kept(adoptServer(server, { bus: theirs, readinessPath: '/theirs' }));
      if (when === 'listening') await listen(server);
      const drained = kept(drainServer(server, { bus: own, readinessPath: '/own' }));
      if (when !== 'listening') await listen(server);
      const { port } = server.address() as { port: number };
      const client = new RawClient(port).get('/own').get('/theirs');
      await client.until('served');
      expect(client.text).toMatch(/ok\n[\s\S]*served/);
      await until(() => drained?.connections === 1);
      expect(adopted?.connections).toBe(0);

      expect(drainsIn(await theirs.requestShutdown())).toEqual([]);
      expect(server.listening).toBe(true);
      expect(client.ended).toBe(false);
      const report = await own.requestShutdown();
      expect(drainsIn(report)).toMatchObject([{ name: `drain :${port}`, details: { openAtStop: 1 } }]);
      await client.closed;
      expect([server.listening, client.error]).toEqual([false, undefined]);
    },
  );

  it('is not adopted when the application drains it already', async () => {
    const [theirs, own] = [newBus(), newBus()];
    const server = newServer();
    kept(drainServer(server, { bus: own }));
    expect(adoptServer(server, { bus: theirs })).toBeUndefined();
    await listen(server);
    expect(drainsIn(await theirs.requestShutdown())).toEqual([]);
    expect(server.listening).toBe(true);
    expect(drainsIn(await own.requestShutdown())).toHaveLength(1);
    expect(server.listening).toBe(false);
  });

  it('is adopted once, until it is let go', () => {
    const bus = newBus();
    const server = newServer();
    const first = adoptServer(server, { bus });
    expect(first).toBeDefined();
    expect(adoptServer(server, { bus })).toBeUndefined();
    first?.dispose();
    expect(kept(adoptServer(server, { bus }))).toBeDefined();
  });

  it('makes way once: two that the application wants are one too many', () => {
    const bus = newBus();
    const server = newServer();
    kept(adoptServer(server, { bus }));
    kept(drainServer(server, { bus }));
    expect(() => drainServer(server, { bus })).toThrow(/drained already/);
  });

  it('its late dispose does not take away what has taken its place', () => {
    const bus = newBus();
    const server = newServer();
    const adopted = adoptServer(server, { bus });
    kept(drainServer(server, { bus }));
    adopted?.dispose();
    expect(adoptServer(server, { bus })).toBeUndefined();
  });

  it('stays so when what the application asks for cannot be had', async () => {
    const bus = newBus();
    const server = newServer();
    kept(adoptServer(server, { bus }));
    expect(() => drainServer(server, { bus, idleLingerMs: -1 })).toThrow(/idleLingerMs is -1/);
    const disposed = newBus();
    disposed.dispose();
    expect(() => drainServer(server, { bus: disposed })).toThrow(
      expect.objectContaining({ code: 'BUS_DISPOSED' }),
    );
    await listen(server);
    expect(drainsIn(await bus.requestShutdown())).toHaveLength(1);
    expect(server.listening).toBe(false);
  });

  it('its drain under way goes on when the application comes too late', async () => {
    const { bus, server, client, open, stopped } = await stopDuringRequest();
    expect(() => drainServer(server, { bus })).toThrow(expect.objectContaining({ code: 'PHASE_PAST' }));
    // Held by the drain, whoever wants it closed.
    server.closeAllConnections();
    open();
    const report = await stopped;
    expect([client.statuses, client.error]).toEqual([[200], undefined]);
    expect(drainsIn(report)).toMatchObject([{ details: { answered: 1, reset: 0 } }]);
  });
});

describe('a backlog that others accept from', () => {
  /** A client whom the kernel has accepted when the drain begins, and nobody else. */
  async function drainWithOneWaiting(drainBacklog = true) {
    const bus = newBus();
    const server = newServer();
    kept(drainServer(server, { bus, drainBacklog }));
    const port = await listen(server);
    let client: RawClient | undefined;
    // In the last moment before the drain: what is waited for here would be accepted meanwhile.
    const knock = async () => {
      client = new RawClient(port).get('/');
      // Node asks the kernel in its next tick, and the kernel answers at once; the event loop has not turned since.
      await new Promise((resolve) => process.nextTick(resolve));
    };
    bus.subscribeShutdown(knock, { name: 'knock', priority: 201 });
    const [drain] = drainsIn(await bus.requestShutdown());
    await client?.closed;
    return { endedBy: drain?.details?.endedBy, statuses: client?.statuses, error: client?.error };
  }

  it('B20: without others, whoever waits in it is served', async () => {
    expect(await drainWithOneWaiting()).toEqual({ endedBy: 'quiet', statuses: [200], error: undefined });
  });

  it('is left to them: the listener closes at once', async () => {
    leaveBacklogToOthers();
    expect(await drainWithOneWaiting()).toEqual({ endedBy: 'others', statuses: [], error: 'ECONNRESET' });
  });

  it('is not looked at in any case where the application does not want it', async () => {
    leaveBacklogToOthers();
    expect((await drainWithOneWaiting(false)).endedBy).toBe('off');
  });
});
