import { createServer } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { holdClose } from '../../http/hold-close.js';
import { RawClient } from './raw-client.js';
import { closeServices, gate, listen, openService, until } from './service.js';

afterEach(closeServices);

/** One idle connection, one with a request, and a shutdown that waits for it. */
async function stoppingService() {
  const held = gate();
  const service = await openService(async ({ url }, response) => {
    if (url === '/held') await held.opened;
    response.end('served');
  });
  const [idle, busy] = [service.client().get('/'), service.client().get('/held')];
  await idle.until('served');
  await until(() => service.drained.openRequests.length === 1);
  return { ...service, held, idle, busy };
}

describe('a server that somebody else closes during its drain', () => {
  it.each(['close', 'closeIdleConnections', 'closeAllConnections'] as const)(
    '%s() resets neither a request in flight nor one that is on its way',
    async (method) => {
      const { server, bus, held, idle, busy } = await stoppingService();
      const report = bus.requestShutdown();
      server[method]();
      idle.get('/');
      await idle.closed;
      expect(idle.statuses).toEqual([200, 200]);
      held.open();
      await busy.closed;
      expect(busy.body).toBe('served');
      await report;
    },
  );

  it.each(['close', 'closeIdleConnections', 'closeAllConnections'] as const)(
    'twin: without a shutdown %s() closes the idle connection under a request that is on its way',
    async (method) => {
      const { server, held, idle, busy } = await stoppingService();
      server[method]();
      idle.get('/');
      await idle.closed;
      expect(idle.statuses).toEqual([200]);
      held.open();
      if (method !== 'closeAllConnections') await busy.until('served');
    },
  );

  it('does not lose its backlog: close() waits for the listener to be closed by the drain', async () => {
    const { server, bus, held, busy, client } = await stoppingService();
    const report = bus.requestShutdown();
    const late = client();
    server.close();
    late.get('/');
    await late.closed;
    expect(late.statuses).toEqual([200]);
    held.open();
    await busy.closed;
    await report;
    expect(server.listening).toBe(false);
  });

  it('calls back when the last connection is gone, whenever it was asked', async () => {
    const { server, bus, held, busy } = await stoppingService();
    const events: string[] = [];
    void busy.closed.then(() => events.push('busy is gone'));
    const report = bus.requestShutdown();
    server.close(() => events.push('early'));
    await until(() => !server.listening);
    server.close((error) => events.push(`late ${(error as NodeJS.ErrnoException).code}`));
    expect(events).toEqual([]);
    held.open();
    await report;
    await until(() => events.length === 3);
    expect(events.sort()).toEqual(['busy is gone', 'early', 'late ERR_SERVER_NOT_RUNNING']);
  });

  it('has its own methods back after the shutdown, and after a dispose', async () => {
    const names = ['close', 'closeIdleConnections', 'closeAllConnections'];
    for (const dispose of [true, false]) {
      const { server, bus, drained, held } = await stoppingService();
      const report = bus.requestShutdown();
      expect(names.filter((name) => Object.hasOwn(server, name))).toEqual(names);
      if (dispose) drained.dispose();
      held.open();
      await report;
      expect(names.filter((name) => Object.hasOwn(server, name))).toEqual([]);
    }
  });
});

describe('holdClose', () => {
  it('closes a listener at its undo that somebody wanted closed, and only then', async () => {
    for (const wanted of [true, false]) {
      const server = createServer();
      await listen(server);
      const undo = holdClose(server);
      if (wanted) server.close();
      expect(server.listening).toBe(true);
      undo();
      expect(server.listening).toBe(!wanted);
      server.close();
    }
  });

  it('leaves a method alone that somebody put over its own, and only passes on then', async () => {
    const server = createServer((_request, response) => response.end('served'));
    const client = new RawClient(await listen(server)).get('/');
    await client.until('served');
    const undo = holdClose(server);
    const ours = server.closeIdleConnections;
    const theirs = () => ours.call(server);
    server.closeIdleConnections = theirs;
    undo();
    expect(server.closeIdleConnections).toBe(theirs);
    server.closeIdleConnections();
    await client.closed;
    server.close();
  });
});
