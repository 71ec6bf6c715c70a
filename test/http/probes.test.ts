import { once } from 'node:events';
import { createServer, IncomingMessage } from 'node:http';
import { connect, createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { livenessProbe, readinessProbe } from '../../http/index.js';
import { RawClient } from './raw-client.js';
import { closeServices, gate, listen, openBus, openService, until } from './service.js';

afterEach(closeServices);

describe('probes as functions', () => {
  it('answer exactly as the paths of drainServer do, before the trigger and after it', async () => {
    const held = gate();
    const { bus, drained, client } = await openService(
      async (request, response) => {
        if (request.url === '/ready') readinessProbe(bus)(request, response);
        else if (request.url === '/live') livenessProbe()(request, response);
        else response.end(await held.opened);
      },
      { drain: { readinessPath: '/ours/ready', livenessPath: '/ours/live' } },
    );
    client().get('/held');
    await until(() => drained.openRequests.length === 1);
    const readers = ['/ready', '/live']
      .flatMap((path) => [path, `/ours${path}`])
      .map((path) => ({ path, reader: client() }));
    for (const { path, reader } of readers) {
      reader.get(path);
      await reader.until('ok\n');
    }
    expect(lastAnswers(readers)).toEqual(twice(lastAnswers(readers)));
    const report = bus.requestShutdown();
    for (const { path, reader } of readers) {
      reader.get(path);
      await reader.closed;
    }
    expect(readers.map(({ reader }) => reader.statuses[1])).toEqual([503, 503, 200, 200]);
    expect(lastAnswers(readers)).toEqual(twice(lastAnswers(readers)));
    held.open();
    await report;
  });

  it('without a drain: 503 and Connection: close from the trigger on, and alive all the time', async () => {
    const { bus } = openBus();
    const [ready, live] = [readinessProbe(bus), livenessProbe()];
    const server = createServer((request, response) =>
      (request.url === '/ready' ? ready : live)(request, response),
    );
    const port = await listen(server);
    const [reader, other] = [new RawClient(port).get('/ready'), new RawClient(port).get('/live')];
    await Promise.all([reader.until('ok\n'), other.until('ok\n')]);
    await bus.requestShutdown();
    reader.get('/ready');
    await reader.closed;
    expect(reader.statuses).toEqual([200, 503]);
    expect(reader.text).toContain('\r\nConnection: close\r\n');
    expect(reader.body).toBe('shutting down\n');
    other.get('/live', 'Connection: close\r\n');
    await other.closed;
    expect(other.statuses).toEqual([200, 200]);
    server.close();
  });

  it('answer on HTTP/2', async () => {
    const { bus } = openBus();
    const server = createHttp2Server(readinessProbe(bus)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const ask = async () => {
      const stream = session.request({ ':path': '/' });
      const [headers] = await once(stream, 'response');
      stream.resume();
      return headers[':status'];
    };
    expect(await ask()).toBe(200);
    await bus.requestShutdown();
    expect(await ask()).toBe(503);
    session.close();
    server.close();
  });

  it('refuse what is no bus', () => {
    expect(() => readinessProbe({} as never)).toThrow('readinessProbe: bus is no bus, allowed: what');
    // What a router calls it with, that was given the factory instead of the probe.
    expect(() => readinessProbe(new IncomingMessage(new Socket()) as never)).toThrow('readinessProbe()');
  });
});

/** Without what differs from one to the next: the date, and the order of the headers. */
function lastAnswers(readers: readonly { readonly reader: RawClient }[]): string[][] {
  return readers.map(({ reader: { text } }) =>
    text
      .slice(text.lastIndexOf('HTTP/1.1'))
      .split('\r\n')
      .filter((line) => !line.startsWith('Date:'))
      .sort(),
  );
}

/** What it should be: the second like the first, the fourth like the third. */
const twice = <T>([first, , third]: readonly T[]) => [first, first, third, third];
