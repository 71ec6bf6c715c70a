import type { RequestListener } from 'node:http';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { AnswerOutcome } from '../../http/index.js';
import { memoryNotifier } from '../../src/testing/memory-notifier.js';
import type { RawClient } from './raw-client.js';
import { closeServices, gate, openService, type Service, type ServiceOptions, until } from './service.js';

afterEach(closeServices);

const shortBudget = { budgetMs: 1000, reserveMs: 400, interruptGraceMs: 50 };

/** A service whose requests begin a job each and never finish. */
async function hanging(options: ServiceOptions = {}, listener?: RequestListener): Promise<Service> {
  const service: Service = await openService(
    (request, response) => {
      service.bus.jobs.begin({ type: 'render', payload: request.url });
      listener?.(request, response);
    },
    { ...options, bus: { ...shortBudget, ...options.bus } },
  );
  return service;
}

async function waiting(service: Service, ...paths: string[]): Promise<RawClient[]> {
  const clients = paths.map((path) => service.client().get(path));
  await until(() => service.drained.openRequests.length === paths.length);
  return clients;
}

describe('a fixed answer', () => {
  it('A08: an open client gets 200 although its job was not finished', async () => {
    const service = await hanging({ drain: { answer: {} } });
    const [client] = await waiting(service, '/a');
    const report = await service.bus.requestShutdown();
    await client?.closed;
    expect(client?.text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(client?.body).toBe('OK FROM WORKER');
    expect(report.jobs).toMatchObject({ incomplete: 1, delivered: 1 });
    expect(service.drained.counts).toMatchObject({ requests: 1, answered: 1, refused: 0, reset: 0 });
  });

  it('A10: notify, close clients, exit: in this order', async () => {
    const order: string[] = [];
    const accept = gate();
    const notifier = memoryNotifier({
      answer: async () => {
        order.push('notifying');
        await accept.opened;
        order.push('notified');
        return 'delivered' as const;
      },
    });
    const service = await hanging({
      drain: { answer: {} },
      notifier,
      bus: { exit: () => void order.push('exit') },
    });
    const [client] = await waiting(service, '/a');
    void client?.closed.then(() => order.push('client closed'));
    void service.bus.requestShutdown();
    await until(() => order.length === 1);
    for (let turns = 0; turns < 20; turns += 1) await new Promise((resolve) => setImmediate(resolve));
    // Held at the notifier, the client has heard nothing.
    expect(client?.text).toBe('');
    accept.open();
    await until(() => order.includes('exit'));
    await client?.closed;
    expect(order.slice(0, 2)).toEqual(['notifying', 'notified']);
    expect(order.indexOf('client closed')).toBeLessThan(order.indexOf('exit'));
    expect(client?.statuses).toEqual([200]);
  });

  it('A10: each client is answered when its own jobs were accepted, not when all were', async () => {
    const slow = gate();
    const notifier = memoryNotifier({
      answer: async ({ data }) => {
        if (data.payload === '/slow') await slow.opened;
        return 'delivered' as const;
      },
    });
    const service = await hanging({ drain: { answer: {} }, notifier: { ...notifier, maxBatchSize: 1 } });
    const [fast, held] = await waiting(service, '/fast', '/slow');
    const stopped = service.bus.requestShutdown();
    await fast?.closed;
    expect([fast?.statuses, held?.text]).toEqual([[200], '']);
    slow.open();
    await held?.closed;
    expect(held?.statuses).toEqual([200]);
    await stopped;
  });

  it('waits for all jobs of a request', async () => {
    const slow = gate();
    const notifier = memoryNotifier({
      answer: async ({ data }) => {
        if (data.payload === 'second') await slow.opened;
        return 'delivered' as const;
      },
    });
    const service = await hanging(
      { drain: { answer: {} }, notifier: { ...notifier, maxBatchSize: 1 } },
      () => void service.bus.jobs.begin({ type: 'render', payload: 'second' }),
    );
    const [client] = await waiting(service, '/a');
    const delivered = gate();
    service.bus.once('delivery', () => delivered.open());
    const stopped = service.bus.requestShutdown();
    await delivered.opened;
    for (let turns = 0; turns < 20; turns += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(client?.text).toBe('');
    slow.open();
    await client?.closed;
    expect(client?.statuses).toEqual([200]);
    await stopped;
  });

  it('A16: a request without jobs gets it, too', async () => {
    const service = await openService(() => {}, { drain: { answer: { body: 'bye' } }, bus: shortBudget });
    const [client] = await waiting(service, '/a');
    await service.bus.requestShutdown();
    await client?.closed;
    expect([client?.statuses, client?.body]).toEqual([[200], 'bye']);
  });

  it.each(['rejected', 'retryable'] as const)('A09: becomes 503 when the report was %s', async (status) => {
    const service = await hanging({
      drain: { answer: {} },
      notifier: memoryNotifier({ answer: () => status }),
    });
    const [client] = await waiting(service, '/a');
    await service.bus.requestShutdown();
    await client?.closed;
    expect(client?.statuses).toEqual([503]);
    expect(client?.text).toContain('Retry-After: 1\r\n');
    expect(service.drained.counts).toMatchObject({ answered: 0, refused: 1 });
  });

  it('A18: one that HTTP does not allow becomes 503', async () => {
    const service = await hanging({ drain: { answer: { headers: { 'not legal': 'x' } } } });
    const [client] = await waiting(service, '/a');
    await service.bus.requestShutdown();
    await client?.closed;
    expect(client?.statuses).toEqual([503]);
    expect(service.log.lines.join()).toContain('could not be sent to GET /a');
  });

  it('A29: headers already sent: no second status line, the rest is cut off at the deadline', async () => {
    const service = await hanging({ drain: { answer: {} } }, (_request, response) => {
      response.writeHead(200, { 'Content-Length': 100 });
      response.write('half');
    });
    const [client] = await waiting(service, '/a');
    const report = await service.bus.requestShutdown();
    await client?.closed;
    expect(client?.statuses).toEqual([200]);
    expect(client?.body).toBe('half');
    expect(service.drained.counts).toMatchObject({ answered: 0, refused: 0, reset: 1 });
    expect(report.durationMs).toBeLessThanOrEqual(1000);
  });

  it('A29: a job that was finished earlier answers nobody later', async () => {
    const service = await openService(
      async (request, response) => {
        const job = service.bus.jobs.begin({ type: 'render' });
        if (request.url === '/quick') {
          job.complete();
          response.end('by itself');
        }
      },
      { drain: { answer: {} }, bus: shortBudget },
    );
    const client = service.client().get('/quick');
    await client.until('by itself');
    const [hung] = await waiting(service, '/hung');
    await service.bus.requestShutdown();
    await Promise.all([client.closed, hung?.closed]);
    expect(client.statuses).toEqual([200]);
    expect(hung?.statuses).toEqual([200]);
  });
});

describe('many open clients', () => {
  it('A19: a large answer is received whole by each of them before its connection ends', async () => {
    const body = 'x'.repeat(2_000_000);
    const service = await hanging({ drain: { answer: { body } } });
    const clients = await waiting(service, '/1', '/2', '/3', '/4', '/5');
    await service.bus.requestShutdown();
    await Promise.all(clients.map(({ closed }) => closed));
    expect(clients.map((client) => [client.error, client.body.length])).toEqual(
      clients.map(() => [undefined, body.length]),
    );
  });

  it('A19: also by a client that is still sending', async () => {
    const service = await hanging({ drain: { answer: {} } });
    const sending = service.client();
    sending.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n');
    await until(() => service.drained.openRequests.length === 1);
    const more = setInterval(() => sending.socket.writable && sending.socket.write(Buffer.alloc(10_000)), 1);
    await service.bus.requestShutdown();
    clearInterval(more);
    await sending.closed;
    expect([sending.statuses, sending.body]).toEqual([[200], 'OK FROM WORKER']);
  });

  it('A20: one dead socket does not stop the others', async () => {
    const service = await hanging({ drain: { answer: {} } });
    const clients = await waiting(service, '/1', '/2', '/3');
    const records = service.drained.openRequests;
    const stopped = service.bus.requestShutdown();
    // Dead on our side, and not yet noticed by anybody, when the answers go out.
    service.bus.once('phase-started', () => records[0]?.request.socket.destroy());
    service.bus.once('delivery', () => clients[1]?.socket.resetAndDestroy());
    const report = await stopped;
    await clients[2]?.closed;
    expect(clients[2]?.statuses).toEqual([200]);
    expect(report.exitCode).toBe(0);
    const { requests, answered, left, reset, refused } = service.drained.counts;
    expect(answered + left + reset + refused).toBe(requests);
  });

  it('A20: an answer function that throws for one does not stop the others', async () => {
    const service = await hanging({
      drain: {
        answer: (request) => {
          if (request.url === '/sync') throw new Error('sync failure');
          if (request.url === '/async') return Promise.reject(new Error('async failure'));
          if (request.url === '/wrong') return { status: 99 };
          return { body: `for ${request.url}` };
        },
      },
    });
    const clients = await waiting(service, '/sync', '/async', '/wrong', '/good');
    const report = await service.bus.requestShutdown();
    await Promise.all(clients.map(({ closed }) => closed));
    expect(clients.map(({ statuses }) => statuses)).toEqual([[503], [503], [503], [200]]);
    expect(clients[3]?.body).toBe('for /good');
    expect(report.exitCode).toBe(0);
    expect(service.log.lines.filter((line) => line.includes('the answer function failed'))).toHaveLength(3);
  });

  it('A33: an answer function that never answers is given up in time', async () => {
    const service = await hanging({
      drain: { answer: (request) => (request.url === '/hung' ? new Promise(() => {}) : { body: 'fine' }) },
    });
    const [hung, fine] = await waiting(service, '/hung', '/fine');
    const report = await service.bus.requestShutdown();
    await Promise.all([hung?.closed, fine?.closed]);
    expect([hung?.statuses, fine?.statuses]).toEqual([[503], [200]]);
    expect(report.durationMs).toBeLessThanOrEqual(1000);
    expect(report.exitCode).toBe(0);
  });
});

describe('an answer function', () => {
  it.each([
    ['delivered', 'delivered'],
    ['rejected', 'rejected'],
    ['retryable', 'expired'],
  ] as const)('is told that the report was %s: %s', async (status, expected) => {
    const seen: [string, AnswerOutcome][] = [];
    const service = await hanging({
      notifier: memoryNotifier({ answer: () => status }),
      drain: {
        answer: (_request, [job], outcome) => {
          seen.push([job?.type ?? 'none', outcome]);
          return { status: 202 };
        },
      },
    });
    const [client] = await waiting(service, '/a');
    await service.bus.requestShutdown();
    await client?.closed;
    expect(seen).toEqual([['render', expected]]);
    expect(client?.statuses).toEqual([202]);
  });

  it('is told when there were no jobs', async () => {
    const answer = vi.fn(() => ({ status: 202 }));
    const service = await openService(() => {}, { drain: { answer }, bus: shortBudget });
    const [client] = await waiting(service, '/a');
    await service.bus.requestShutdown();
    await client?.closed;
    expect(answer).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ url: '/a' }), [], 'no-jobs');
    expect(client?.statuses).toEqual([202]);
  });
});

describe('waiting for the application’s own answer', () => {
  it('A09: a request whose job was reported gets 503 and Retry-After at once', async () => {
    const service = await hanging();
    const [client] = await waiting(service, '/a');
    const stopped = service.bus.requestShutdown();
    await client?.closed;
    expect(client?.statuses).toEqual([503]);
    expect(client?.text).toContain('Retry-After: 1\r\n');
    const report = await stopped;
    expect(report.jobs.delivered).toBe(1);
    expect(report.durationMs).toBeLessThan(800);
  });

  it('C05: what the application says when its job is interrupted comes first', async () => {
    const service: Service = await openService(
      async (_request, response) => {
        try {
          await service.bus.jobs.run(
            { type: 'render' },
            (job) =>
              new Promise((_resolve, reject) => {
                job.signal.addEventListener('abort', () => reject(job.signal.reason));
              }),
          );
        } catch {
          response.statusCode = 202;
          response.end('will be done later');
        }
      },
      { bus: shortBudget },
    );
    const [client] = await waiting(service, '/a');
    await service.bus.requestShutdown();
    await client?.closed;
    expect([client?.statuses, client?.body]).toEqual([[202], 'will be done later']);
  });

  it('A33: a request without jobs is waited for until little time is left', async () => {
    const answer = gate();
    const service = await openService(
      async (request, response) => {
        if (request.url === '/never') return;
        await answer.opened;
        response.end('at the last moment');
      },
      { bus: { ...shortBudget, releaseReserveMs: 100 } },
    );
    const [late, never] = await waiting(service, '/late', '/never');
    service.bus.on(
      'handler-started',
      ({ priority }) => priority === 90 && setTimeout(() => answer.open(), 100),
    );
    const report = await service.bus.requestShutdown();
    await Promise.all([late?.closed, never?.closed]);
    expect([late?.statuses, never?.statuses]).toEqual([[200], [503]]);
    expect(report.durationMs).toBeGreaterThan(700);
    expect(report.durationMs).toBeLessThanOrEqual(1000);
    expect(report.exitCode).toBe(0);
    expect(service.drained.counts).toMatchObject({ requests: 2, answered: 1, refused: 1 });
  });

  it('one that comes behind an open one on the same connection then is told so after the answer to that', async () => {
    const held = gate();
    let answer = () => {};
    const service = await hanging(
      {
        bus: { budgetMs: 3000, reserveMs: 2000 },
        notifier: memoryNotifier({
          answer: async () => {
            await held.opened;
            return 'delivered' as const;
          },
        }),
      },
      (_, response) => {
        answer = () => response.end('a');
      },
    );
    const [client] = await waiting(service, '/a');
    const delivering = gate();
    service.bus.on('phase-started', ({ phase }) => phase === 'deliver' && delivering.open());
    const stopped = service.bus.requestShutdown();
    await delivering.opened;
    client?.get('/b');
    await until(() => service.drained.counts.requests === 2);
    answer();
    await client?.closed;
    expect(client?.statuses).toEqual([200, 503]);
    held.open();
    await stopped;
    expect(service.drained.counts).toMatchObject({ requests: 2, answered: 1, refused: 1, reset: 0 });
  });

  it('a request that comes after the snapshot is told to try again and not seen by the application', async () => {
    const held = gate();
    const seen: (string | undefined)[] = [];
    const service = await hanging(
      {
        // Short, so that the half of it is not given up before.
        bus: { budgetMs: 1000 },
        notifier: memoryNotifier({
          answer: async () => {
            await held.opened;
            return 'delivered' as const;
          },
        }),
      },
      ({ url }) => void seen.push(url),
    );
    await waiting(service, '/a');
    const half = service.client();
    half.socket.write('GET /half HTTP/1.1\r\n');
    await until(() => service.drained.connections === 2);
    const delivering = gate();
    service.bus.on('phase-started', ({ phase }) => phase === 'deliver' && delivering.open());
    const stopped = service.bus.requestShutdown();
    await delivering.opened;
    half.socket.write('Host: x\r\n\r\n');
    await half.closed;
    expect(half.statuses).toEqual([503]);
    expect(seen).toEqual(['/a']);
    held.open();
    await stopped;
  });
});

describe('SIGQUIT', () => {
  it('B24: skips the drain; the listener is closed and sockets are gone at the end', async () => {
    const service = await openService(() => {}, { bus: { budgetMs: 3000 } });
    const [open] = await waiting(service, '/a');
    const silent = service.client();
    await until(() => service.drained.connections === 2);
    const stopped = new Promise<{ durationMs: number }>((resolve) => service.bus.once('stopped', resolve));
    service.host.kill('SIGQUIT');
    const { durationMs } = await stopped;
    await Promise.all([open?.closed, silent.closed]);
    expect(durationMs).toBeLessThan(1200);
    expect(service.server.listening).toBe(false);
    expect(service.drained.connections).toBe(0);
    expect(open?.statuses).toEqual([503]);
  });

  it('B24: during the drain it leaves out the rest of it', async () => {
    const service = await openService(() => {}, { bus: { budgetMs: 3000 } });
    const [open] = await waiting(service, '/a');
    const stopped = service.bus.requestShutdown();
    await until(() => service.drained.counts.endedBy !== undefined);
    service.host.kill('SIGQUIT');
    const { durationMs } = await stopped;
    await open?.closed;
    expect(durationMs).toBeLessThan(1200);
    expect(open?.statuses).toEqual([503]);
  });

  it('B24: still reports jobs before their clients are answered', async () => {
    const service = await hanging({ drain: { answer: {} } });
    const [client] = await waiting(service, '/a');
    const stopped = new Promise((resolve) => service.bus.once('stopped', resolve));
    service.host.kill('SIGQUIT');
    await stopped;
    await client?.closed;
    expect(client?.statuses).toEqual([200]);
    expect(service.notifier.received).toHaveLength(1);
  });
});
