import { Agent, get } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { ChildService, killServices } from '../http/child-service.js';
import { RawClient } from '../http/raw-client.js';

const orphans: number[] = [];

afterEach(() => {
  killServices();
  for (const pid of orphans.splice(0)) process.kill(pid, 'SIGKILL');
});

async function start(
  options: object = {},
  bus: object = {},
): Promise<{ service: ChildService; port: number }> {
  const service = new ChildService('http-service.js', [JSON.stringify(options), JSON.stringify(bus)]);
  return { service, port: Number(await service.line('port')) };
}

const countsOf = async (service: ChildService) =>
  JSON.parse(await service.line('counts')) as Record<string, unknown>;

describe('SIGTERM', () => {
  it('B05 D07: keep-alive clients see no reset: every request is answered, or refused a connection', async () => {
    const { service, port } = await start();
    const agent = new Agent({ keepAlive: true, maxSockets: 24 });
    const failures: string[] = [];
    let served = 0;
    const request = () =>
      new Promise<boolean>((resolve) => {
        const asked = get({ host: '127.0.0.1', port, agent }, (response) => {
          response.resume().once('end', () => {
            served += 1;
            if (served === 500) service.kill('SIGTERM');
            resolve(true);
          });
        });
        asked.once('error', (error: NodeJS.ErrnoException) => {
          if (error.code !== 'ECONNREFUSED') failures.push(error.code ?? error.message);
          resolve(false);
        });
      });
    await Promise.all(
      Array.from({ length: 24 }, async () => {
        while (await request());
      }),
    );
    agent.destroy();
    expect(failures).toEqual([]);
    expect(served).toBeGreaterThanOrEqual(500);
    expect(await countsOf(service)).toMatchObject({ reset: 0, left: 0, refused: 0 });
    expect(await service.exited).toEqual({ code: 0, signal: null });
  });

  it('A08, A10, A17: clients are counted, the job is reported, then its client gets 200, then the process ends', async () => {
    const { service, port } = await start({ answer: {} });
    const client = new RawClient(port).get('/');
    await client.until('served');
    client.text = '';
    client.get('/hang');
    const silent = new RawClient(port);
    await Promise.all([service.line('begun'), service.line('connected 2')]);
    service.kill('SIGTERM');
    await client.closed;
    expect(service.stdout).toContain('notified hanging-job');
    expect([client.error, client.statuses, client.body]).toEqual([undefined, [200], 'OK FROM WORKER']);
    await silent.closed;
    expect(silent.error).toBeUndefined();
    expect(await service.exited).toEqual({ code: 0, signal: null });
    expect(service.stderr).toMatch(
      new RegExp(
        `^shutdown-bus [0-9a-f]{12} http-service: http :${port}: 2 clients connected, 1 requests open$`,
        'm',
      ),
    );
  });
});

describe('5,000 idle keep-alive connections', () => {
  const COUNT = 5000;

  /** @returns how each of them ended, and how long the shutdown took. */
  async function stopWithIdleClients(options: object) {
    const { service, port } = await start(options, { budgetMs: 9000 });
    const clients: RawClient[] = [];
    for (let batch = 0; batch < COUNT; batch += 500) {
      const added = Array.from({ length: 500 }, () => new RawClient(port).get('/'));
      await Promise.all(added.map((client) => client.until('served')));
      clients.push(...added);
    }
    service.kill('SIGTERM');
    await Promise.all(clients.map(({ closed }) => closed));
    const ending = await service.exited;
    return {
      ending,
      errors: clients.filter(({ error }) => error !== undefined).length,
      counts: await countsOf(service),
      durationMs: Number(/stopped: .* (\d+) of \d+ ms/.exec(service.stderr)?.[1]),
    };
  }

  it('B05: are all ended in order, and cost the linger and little more', async () => {
    const { ending, errors, counts, durationMs } = await stopWithIdleClients({});
    expect({ ending, errors }).toEqual({ ending: { code: 0, signal: null }, errors: 0 });
    expect(counts).toMatchObject({ openAtStop: COUNT, requests: 0, reset: 0 });
    // Far below the drain's share of the budget, 6 s, which it would take if one of them were waited for.
    expect(durationMs).toBeLessThan(3000);
  });

  it('the negative twin: with a linger of 3.5 s they hold it that long', async () => {
    const { errors, durationMs } = await stopWithIdleClients({ idleLingerMs: 3500 });
    expect(errors).toBe(0);
    expect(durationMs).toBeGreaterThan(3400);
  });
});

describe('SIGQUIT', () => {
  it('B24: ends an open request, a silent connection and the process at once', async () => {
    const { service, port } = await start();
    const [open, silent] = [new RawClient(port).get('/hang'), new RawClient(port)];
    await Promise.all([service.line('begun'), service.line('connected 2')]);
    const since = performance.now();
    service.kill('SIGQUIT');
    await Promise.all([open.closed, silent.closed]);
    expect(open.statuses).toEqual([503]);
    expect((await service.exited).signal).toBeNull();
    expect(performance.now() - since).toBeLessThan(1500);
  });
});

// What a child inherits keeps the connection open after the service is gone: that is what these two tell apart.
describe('a spawned child', () => {
  it('A15: does not keep a client’s socket open', async () => {
    const { service, port } = await start();
    const client = new RawClient(port).get('/child');
    const pid = Number(await service.line('child'));
    orphans.push(pid);
    service.kill('SIGKILL');
    await client.closed;
    expect(process.kill(pid, 0)).toBe(true);
  });

  it('A15, the negative twin: one that was given the socket does', async () => {
    const { service, port } = await start();
    const client = new RawClient(port).get('/child-with-socket');
    const pid = Number(await service.line('child'));
    let closed = false;
    void client.closed.then(() => {
      closed = true;
    });
    service.kill('SIGKILL');
    await service.exited;
    // Long enough for the end of a connection to arrive over loopback; the child holds it.
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(closed).toBe(false);
    process.kill(pid, 'SIGKILL');
    await client.closed;
  });
});
