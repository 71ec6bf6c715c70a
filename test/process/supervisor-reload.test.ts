import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Load } from './load.js';
import { endSupervised, type Supervised, startSupervised } from './supervised.js';

afterEach(endSupervised);

describe('a rolling reload', () => {
  it.each(['SIGHUP', 'SIGUSR2'] as const)(
    'D19: after %s restarted comes when the last old worker is gone, and never are fewer ready than asked for',
    async (signal) => {
      const service = await startSupervised();
      const old = await pidsOf(service);
      const load = new Load(service.port, { clients: 8, keepAlive: signal === 'SIGHUP' });
      await load.answers(50);
      service.primary.kill(signal);
      await service.event('restarted', ({ outcome, workers }) => outcome === 'restarted' && workers === 2);
      expect(await pidsOf(service)).toHaveLength(2);
      const order = service.events();
      const restarted = order.findIndex(({ name }) => name === 'restarted');
      for (const pid of old) {
        const ended = order.findIndex((event) => event.name === 'worker-ended' && event.pid === pid);
        expect(ended).toBeGreaterThan(-1);
        expect(ended).toBeLessThan(restarted);
        expect((await pidsOf(service)).includes(pid)).toBe(false);
      }
      const since = order.slice(order.findIndex(({ name }) => name === 'reload-started'));
      expect(Math.min(...since.map(({ count }) => count))).toBe(2);
      await load.answers(50);
      expect(await load.stop()).toEqual([]);
      service.primary.kill('SIGTERM');
      expect((await service.primary.ended).code).toBe(0);
    },
  );

  it('D15: the signal for it can be chosen', async () => {
    const service = await startSupervised({ reloadSignals: ['SIGPWR'] });
    service.primary.kill('SIGPWR');
    await service.event('restarted');
    expect(service.events('reload-started')).toHaveLength(1);
  });

  it('a release that does not start is given up, and the old workers go on', async () => {
    const service = await startSupervised();
    const old = await pidsOf(service);
    writeFileSync(join(service.folder, 'broken'), '');
    expect(await service.call('reload')).toMatchObject({ outcome: 'given-up', workers: 0 });
    expect(await pidsOf(service)).toEqual(old);
    expect(service.primary.texts().stderr).toContain('did not become ready');
    expect(await service.ask()).toMatch(/^served/);
  });

  it('a second one that is asked for meanwhile follows the first: the code may be newer', async () => {
    const service = await startSupervised();
    const both = await Promise.all([service.call('reload'), service.call('reload')]);
    expect(both.map((report) => (report as { outcome: string }).outcome)).toEqual(['restarted', 'restarted']);
    expect(service.events('restarted')).toHaveLength(2);
  });

  it('a stop that comes in the middle of it ends old and new workers', async () => {
    const service = await startSupervised();
    service.primary.kill('SIGHUP');
    await service.event('worker-started', ({ id }) => id === 3);
    service.primary.kill('SIGTERM');
    expect((await service.primary.ended).code).toBe(0);
    expect(service.alive()).toEqual([]);
  });

  it('SIGTTIN starts one worker more, SIGTTOU ends one, and the last one stays', async () => {
    const service = await startSupervised({ workers: 1 });
    service.primary.kill('SIGTTIN');
    await service.event('worker-ready', ({ count }) => count === 2);
    service.primary.kill('SIGTTOU');
    await service.event('worker-ended');
    service.primary.kill('SIGTTOU');
    service.primary.kill('SIGTTOU');
    expect((await service.state()).wanted).toBe(1);
    expect(await service.ask()).toMatch(/^served/);
  });

  it('a worker is replaced after so many requests, by one that is ready before it leaves', async () => {
    const service = await startSupervised({ workers: 1, maxRequests: 20, jitter: 0 });
    const [first] = await pidsOf(service);
    for (let n = 0; n < 20; n += 1) await service.ask();
    await service.event('worker-ended', ({ pid }) => pid === first);
    const order = service.events();
    const ready = order.findIndex(({ name, id }) => name === 'worker-ready' && id === 2);
    expect(ready).toBeLessThan(order.findIndex(({ name }) => name === 'worker-ended'));
    expect(await service.ask()).toMatch(/^served/);
    expect(service.primary.texts().stderr).toContain('is to be replaced: 20 requests');
  });

  it('a worker is replaced at its age', async () => {
    const service = await startSupervised({ workers: 1, maxAgeMs: 1000, jitter: 0 });
    await service.event('worker-ended', ({ id, unexpected }) => id === 1 && unexpected === false);
    expect(await service.ask()).toMatch(/^served/);
  });
});

async function pidsOf(service: Supervised): Promise<number[]> {
  return (await service.state()).workers.map(({ pid }) => pid);
}
