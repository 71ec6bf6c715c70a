import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { startRedis } from '../far-ends/redis.js';
import { envelopesIn, FEW_DESCRIPTORS } from './child.js';
import { Load } from './load.js';
import { runs } from './runs.js';
import { ask, blockWorker, endSupervised, type Supervised, startSupervised } from './supervised.js';

afterEach(endSupervised);

const JOBS = 1000;

describe('a worker that stops by itself', () => {
  it('is replaced before its last request is answered, and the port of a lone one stays open', async () => {
    const service = await startSupervised({ workers: 1, budgetMs: 20_000 });
    const slow = service.ask('/slow?ms=4000');
    await service.primary.line('slow');
    const [worker] = (await service.state()).workers;
    process.kill(worker?.pid as number, 'SIGTERM');
    const successor = await service.event('worker-ready', ({ id }) => id === 2);
    expect(await service.ask()).toBe(`served ${successor.pid}`);
    const { workers, ready } = await service.state();
    expect([workers.map(({ state }) => state), ready]).toEqual([['stopping', 'ready'], 1]);
    expect(service.events('worker-ended')).toEqual([]);
    expect(await slow).toBe(`served ${worker?.pid}`);
    await service.event('worker-ended', ({ pid }) => pid === worker?.pid);
    expect(await service.ask()).toBe(`served ${successor.pid}`);
    expect(service.events('worker-started')).toMatchObject([{ id: 2 }]);
  });

  it('because the whole group was asked to: nobody is started in its place', async () => {
    const service = await startSupervised();
    const { workers } = await service.state();
    for (const pid of [...workers.map(({ pid }) => pid), service.primary.process.pid as number])
      process.kill(pid, 'SIGTERM');
    expect((await service.primary.ended).code).toBe(0);
    expect(service.events('worker-started')).toEqual([]);
  });
});

describe('the death of a worker', () => {
  it('D18: by SIGKILL, with 1,000 open jobs: all are reported within 2 s, it is replaced, and the service answers all the time', async () => {
    for (let run = 0; run < runs(10); run += 1) {
      const service = await startSupervised({ app: 'supervised-jobs.js' });
      const victim = await beginJobs(service, JOBS);
      const killedAt = Date.now();
      process.kill(victim, 'SIGKILL');
      // Those that it had accepted die with it; nobody who comes after is turned away.
      await service.event('worker-ended', ({ pid }) => pid === victim);
      const load = new Load(service.port, { clients: 4, keepAlive: false });
      await service.primary.when(() => idsIn(service).size === JOBS, 'all jobs are reported');
      expect(Date.now() - killedAt).toBeLessThan(2000);
      await service.event('worker-ready', ({ id }) => id === 3);
      expect(await load.stop()).toEqual([]);
      for (const { data } of envelopesIn(service.primary.texts().stdout))
        expect(data).toMatchObject({ pid: victim, outcome: 'lost', reason: 'lost' });
      expect(service.events('worker-ended')).toMatchObject([
        { pid: victim, signal: 'SIGKILL', unexpected: true },
      ]);
      endSupervised();
    }
  });

  it('D18: with jobs in Redis, too, they are reported at once: nobody waits for the end of a lease', async () => {
    const redis = await startRedis();
    const admin = new Redis(redis.port, '127.0.0.1');
    try {
      const env = { SHUTDOWN_STORE: `redis://127.0.0.1:${redis.port}` };
      const service = await startSupervised({ app: 'supervised-jobs.js' }, env);
      const victim = await beginJobs(service, 100);
      const kept = async () => {
        const keys = await admin.keys('*:jobs');
        return Promise.all(keys.map((key) => admin.hlen(key)));
      };
      await vi.waitFor(async () => expect(await kept()).toEqual([100]), { timeout: 15_000 });
      const killedAt = Date.now();
      process.kill(victim, 'SIGKILL');
      await service.primary.when(() => idsIn(service).size === 100, 'all jobs are reported');
      // Leases are 10 s.
      expect(Date.now() - killedAt).toBeLessThan(5000);
      endSupervised();
    } finally {
      admin.disconnect();
      await redis.stop();
    }
  });

  it('with no file descriptor left for the next one: that is tried again until there is one', async () => {
    const fixture = 'supervises-without-descriptors.js';
    const service = await startSupervised({}, {}, { fixture, through: FEW_DESCRIPTORS });
    service.primary.kill('SIGURG');
    await service.primary.line('none left: EMFILE');
    const { workers } = await service.state();
    process.kill(workers[0]?.pid as number, 'SIGKILL');
    await service.primary.line('worker 4 cannot be started: spawn');
    expect(service.primary.texts().stderr).toMatch(/worker 3 cannot be started: spawn .* EMFILE/);
    expect(await service.ask()).toMatch(/^served/);
    service.primary.kill('SIGIO');
    await service.event('worker-ready', ({ id }) => (id as number) > 4);
    service.primary.kill('SIGTERM');
    expect((await service.primary.ended).code).toBe(0);
  });

  it('of the only one: who connects meanwhile is served by its successor, also on a socket that was inherited', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const service = await startSupervised({ workers: 1 }, { FD: '3' }, { inherits: descriptorOf(server) });
    server.close();
    for (let death = 0; death < 3; death += 1) {
      const victim = Number((await ask(port, '/')).split(' ')[1]);
      process.kill(victim, 'SIGKILL');
      await service.event('worker-ended', ({ pid }) => pid === victim);
      expect(await ask(port, '/')).not.toBe(`served ${victim}`);
    }
  });

  it('without a store its jobs are lost with it: what the one above proves', async () => {
    const service = await startSupervised({ app: 'supervised-jobs.js' }, { SHUTDOWN_STORE: 'memory' });
    process.kill(await beginJobs(service, 10), 'SIGKILL');
    await service.event('worker-ready', ({ id }) => id === 3);
    service.primary.kill('SIGTERM');
    expect(envelopesIn((await service.primary.ended).stdout)).toEqual([]);
  });

  it('a port whose only worker is dead takes connections, and its successor answers them', async () => {
    const service = await startSupervised({ workers: 1 });
    const { workers } = await service.state();
    process.kill(workers[0]?.pid as number, 'SIGKILL');
    await service.event('worker-ended');
    expect(await service.ask()).toMatch(/^served/);
  });

  it('during the stop: its jobs are reported all the same, before the primary leaves', async () => {
    const service = await startSupervised({ app: 'supervised-jobs.js', budgetMs: 8000 });
    const victim = await beginJobs(service, 100);
    // It does not end by itself.
    await blockWorker(service, victim);
    service.primary.kill('SIGTERM');
    const { stdout } = await service.primary.ended;
    expect(new Set(envelopesIn(stdout).map(({ id }) => id)).size).toBe(100);
  });

  it('crash after crash: the pauses grow, and the service goes on as soon as it can', async () => {
    const service = await startSupervised({ workers: 1 });
    for (let n = 1; n <= 4; n += 1) {
      const { pid } = await service.event('worker-ready', ({ id }) => id === n);
      process.kill(pid as number, 'SIGKILL');
      await service.event('worker-ended', ({ id }) => id === n);
    }
    await service.event('worker-ready', ({ id }) => id === 5);
    const pauses = [...service.primary.texts().stderr.matchAll(/the next worker starts in (\d+) ms/g)].map(
      ([, ms]) => Number(ms),
    );
    // The first comes at once.
    expect(pauses).toHaveLength(3);
    expect(pauses[2]).toBeGreaterThan(pauses[0] as number);
  });

  it('a program that cannot start ends the service with 1, and says so', async () => {
    const service = startSupervised({}, { BROKEN: '1' });
    await expect(service).rejects.toThrow(/no worker became ready[\s\S]*giving up/);
  });
});

describe('the death of the primary', () => {
  it('workers drain and leave; what was open is reported, by them or at the next start', async () => {
    const service = await startSupervised({ app: 'supervised-jobs.js' });
    await beginJobs(service, 50);
    const { workers } = await service.state();
    process.kill(service.primary.process.pid as number, 'SIGKILL');
    // Its output is open as long as a worker has it.
    const { stdout } = await service.primary.ended;
    expect(service.alive()).toEqual([]);
    const heard = [...stdout.matchAll(/^hears (.*)$/gm)].map(([, text]) => JSON.parse(text as string));
    expect(heard.map(({ pid }) => pid).sort()).toEqual(workers.map(({ pid }) => pid).sort());
    for (const { reason } of heard)
      expect(reason).toEqual({ kind: 'request', message: 'the primary is gone' });
    expect(new Set(envelopesIn(stdout).map(({ id }) => id)).size).toBe(50);
  });

  it('of primary and workers at once: the next start reports all', async () => {
    const service = await startSupervised({ app: 'supervised-jobs.js' });
    await beginJobs(service, 50);
    for (const pid of service.alive()) process.kill(pid, 'SIGKILL');
    expect(envelopesIn((await service.primary.ended).stdout)).toEqual([]);
    const next = await startSupervised({ app: 'supervised-jobs.js' }, { XDG_RUNTIME_DIR: service.folder });
    await next.primary.when(() => idsIn(next).size === 50, 'all jobs are reported');
  });

  it('a worker whose event loop is blocked then is ended by its own thread, at the time at which the primary would have', async () => {
    const service = await startSupervised({ app: 'supervised-jobs.js', timeoutMs: 1000, killGapMs: 500 });
    const victim = await beginJobs(service, 1);
    await blockWorker(service, victim);
    process.kill(service.primary.process.pid as number, 'SIGKILL');
    // Its output is open as long as a worker has it.
    expect((await service.primary.ended).stderr).toContain('whoever would end this process is gone: SIGKILL');
    expect(service.alive()).toEqual([]);
  });

  it('a request that is under way is answered', async () => {
    const service = await startSupervised();
    const answer = service.ask('/slow?ms=1000');
    await service.primary.line('slow');
    process.kill(service.primary.process.pid as number, 'SIGKILL');
    expect(await answer).toMatch(/^served/);
    await service.primary.ended;
    expect(service.alive()).toEqual([]);
  });
});

/** Node has no other way to hand a listening socket to a program that is started. */
function descriptorOf(server: Server): number {
  return (server as unknown as { _handle: { fd: number } })._handle.fd;
}

/** @returns the worker that has them. */
async function beginJobs(service: Supervised, count: number): Promise<number> {
  const answer = await service.ask(`/begin?n=${count}`);
  return Number(answer.split(' ')[1]);
}

function idsIn(service: Supervised): Set<string> {
  return new Set(envelopesIn(service.primary.texts().stdout).map(({ id }) => id));
}
