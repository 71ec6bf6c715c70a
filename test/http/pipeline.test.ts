import { afterEach, describe, expect, it } from 'vitest';
import { closeServices, gate, openService, until } from './service.js';

afterEach(closeServices);

const endings = (text: string) => text.match(/Connection: [\w-]+/g) ?? [];

describe('pipelined requests', () => {
  it('that are open at the trigger are all answered, and so are those that follow; the last answer ends the connection', async () => {
    const finish = gate();
    const { bus, client, drained } = await openService(async ({ url }, response) => {
      await finish.opened;
      response.end(url);
    });
    const reader = client().get('/1').get('/2');
    await until(() => drained.openRequests.length === 2);
    const stopped = bus.requestShutdown();
    reader.get('/3');
    await until(() => drained.openRequests.length === 3);
    finish.open();
    await stopped;
    await reader.closed;
    expect([reader.error, reader.statuses, reader.body]).toEqual([undefined, [200, 200, 200], '/3']);
    expect(endings(reader.text)).toEqual(['Connection: close']);
    expect(drained.counts).toMatchObject({ requests: 3, answered: 3, reset: 0, left: 0 });
  });

  it('that are open at the deadline are all told', async () => {
    const { bus, client, drained } = await openService(() => {}, {
      drain: { answer: (request) => ({ status: 202, body: request.url as string }) },
      bus: { budgetMs: 1000 },
    });
    const reader = client().get('/1').get('/2').get('/3');
    await until(() => drained.openRequests.length === 3);
    await bus.requestShutdown();
    await reader.closed;
    expect([reader.error, reader.statuses, reader.body]).toEqual([undefined, [202, 202, 202], '/3']);
    expect(endings(reader.text)).toEqual(['Connection: close']);
    expect(drained.counts).toMatchObject({ requests: 3, answered: 3, left: 0 });
  });

  it('behind an answer that has announced the end never reach the application', async () => {
    const finish = gate();
    const seen: (string | undefined)[] = [];
    const { bus, client, drained } = await openService(async ({ url }, response) => {
      seen.push(url);
      response.write('begun, ');
      await finish.opened;
      response.end('finished');
    });
    const stopped = (async () => {
      await until(() => drained.connections === 1);
      return bus.requestShutdown();
    })();
    const reader = client();
    await until(() => drained.counts.openAtStop === 1);
    reader.get('/1');
    await reader.until('begun');
    reader.get('/2');
    await until(() => drained.counts.reset === 1);
    finish.open();
    await stopped;
    await reader.closed;
    expect([seen, reader.statuses, reader.text.includes('finished')]).toEqual([['/1'], [200], true]);
    expect(drained.counts).toMatchObject({ requests: 2, answered: 1, reset: 1, left: 0 });
  });

  it('negative twin: behind an answer with which the application itself ends the connection they are lost, and counted so', async () => {
    const finish = gate();
    const { bus, client, drained } = await openService(async (_request, response) => {
      await finish.opened;
      response.writeHead(200, { Connection: 'close' }).end();
    });
    const reader = client().get('/1').get('/2');
    await until(() => drained.openRequests.length === 2);
    const stopped = bus.requestShutdown();
    finish.open();
    await stopped;
    await reader.closed;
    expect(reader.statuses).toEqual([200]);
    expect(drained.counts).toMatchObject({ requests: 2, answered: 1, reset: 1, left: 0 });
  });

  it('that come too late do not cut off the answer that is still leaving', async () => {
    const size = 20_000_000;
    const { bus, client, drained } = await openService(
      (request, response) => void response.end(request.url === '/1' ? Buffer.alloc(size, 'x') : 'late'),
    );
    const reader = client();
    await until(() => drained.connections === 1);
    const stopped = bus.requestShutdown();
    reader.get('/1');
    while (!reader.ended && !reader.socket.destroyed) {
      reader.get('/more');
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await stopped;
    expect(reader.text.length).toBeGreaterThan(size);
    expect(drained.counts.reset).toBeGreaterThan(0);
  });
});
