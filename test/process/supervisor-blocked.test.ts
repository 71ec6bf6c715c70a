import { afterEach, describe, expect, it } from 'vitest';
import { envelopesIn } from './child.js';
import { Load } from './load.js';
import {
  blockedIn,
  blockWorker,
  type Event,
  endSupervised,
  type Supervised,
  startSupervised,
} from './supervised.js';

afterEach(endSupervised);

/** How far a signal may be from its time. */
const TOLERANCE_MS = 300;

describe('a worker whose event loop is blocked', () => {
  it('C06: with 5 s and 7 s it gets SIGABRT at 5, SIGTERM at 7, both from the beginning, and SIGKILL 2 s after', async () => {
    const service = await startSupervised({ timeoutMs: 5000, gracefulTimeoutMs: 7000 });
    const { silences, endedMs } = await block(service);
    expect(silences.map(({ signal }) => signal)).toEqual(['SIGABRT', 'SIGTERM', 'SIGKILL']);
    expectNear(silences, [5000, 7000, 9000]);
    expect(Math.abs(endedMs - 9000)).toBeLessThan(TOLERANCE_MS);
  });

  it('C07: with 5 s alone it gets SIGABRT at 5 and SIGKILL at 7', async () => {
    const service = await startSupervised({ timeoutMs: 5000 });
    const { silences, endedMs } = await block(service);
    expect(silences.map(({ signal }) => signal)).toEqual(['SIGABRT', 'SIGKILL']);
    expectNear(silences, [5000, 7000]);
    expect(Math.abs(endedMs - 7000)).toBeLessThan(TOLERANCE_MS);
  });

  it('C09: before any signal it is said where it stands, with the stack, on stderr and to the primary', async () => {
    const service = await startSupervised({ timeoutMs: 2000 });
    const { silences } = await block(service);
    const pid = blockedIn(service)[0]?.pid;
    const report = await service.event('worker-blocked', (event) => event.pid === pid);
    expect(report.stack).toMatch(
      /^ {4}at busy \(.*supervised-app\.js:\d+:\d+\)\n {4}at .*supervised-app\.js:/,
    );
    const abort = service.events('worker-silent').find(({ signal }) => signal === 'SIGABRT') as Event;
    expect(report.at).toBeLessThan(abort.at);
    expect(silences).toHaveLength(2);
    const { stderr } = service.primary.texts();
    expect(stderr).toMatch(
      /^shutdown-bus [0-9a-f]{12} \S+: worker \d \(pid \d+\): the event loop has been blocked for \d+ ms:$/m,
    );
    expect(stderr).toMatch(/: {5}at busy /);
  });

  it('without blockedStack nobody says so', async () => {
    const service = await startSupervised({ timeoutMs: 1000, killGapMs: 300, blockedStack: false });
    await block(service);
    expect(service.events('worker-blocked')).toEqual([]);
    expect(service.primary.texts().stderr).not.toContain('has been blocked');
  });

  it('C01: while (true): its jobs are reported, its place is taken at the first signal, and the clients of the others notice nothing', async () => {
    const service = await startSupervised({ app: 'supervised-jobs.js', timeoutMs: 500, killGapMs: 500 });
    const victim = Number((await service.ask('/begin?n=100')).split(' ')[1]);
    await blockWorker(service, victim);
    const load = new Load(service.port, { clients: 4, keepAlive: false });
    const abort = await service.event(
      'worker-silent',
      ({ pid, signal }) => pid === victim && signal === 'SIGABRT',
    );
    await service.event('worker-ended', ({ pid, signal }) => pid === victim && signal === 'SIGKILL');
    expect(await load.stop()).toEqual([]);
    const started = service.events('worker-started').find(({ at }) => at >= abort.at) as Event;
    expect(started.at).toBeLessThan((await service.event('worker-ended', ({ pid }) => pid === victim)).at);
    await service.primary.when(
      () => envelopesIn(service.primary.texts().stdout).length >= 100,
      'its jobs are reported',
    );
    const took = [...load.tookMs].sort((a, b) => a - b);
    // None of them waited for the blocked one, which was there for a second.
    expect(took[Math.floor(took.length * 0.99)]).toBeLessThan(500);
  });

  it('C05, C09: one that goes on within the gap hears SIGABRT, interrupts its jobs with it, and ends by itself', async () => {
    const service = await startSupervised({ app: 'supervised-jobs.js', timeoutMs: 500, killGapMs: 5000 });
    const victim = Number((await service.ask('/begin?n=3')).split(' ')[1]);
    await blockWorker(service, victim, 1500);
    const ending = await service.event('worker-ended', ({ pid }) => pid === victim);
    expect(ending).toMatchObject({ signal: null, unexpected: true });
    const heard = [...service.primary.texts().stdout.matchAll(/^hears (.*)$/gm)].map(([, text]) =>
      JSON.parse(text as string),
    );
    expect(heard).toContainEqual({ pid: victim, reason: { kind: 'signal', signal: 'SIGABRT' } });
    const interrupted = [...service.primary.texts().stdout.matchAll(/^interrupted (.*)$/gm)].map(([, text]) =>
      JSON.parse(text as string),
    );
    expect(interrupted.filter(({ pid }) => pid === victim)).toHaveLength(3);
    for (const one of interrupted)
      expect(one).toMatchObject({ name: 'GracefulExit', message: 'SIGABRT received.', signum: 6 });
  });

  it('C05: the limit of a job ends its request with an answer of its own, and the worker goes on', async () => {
    const service = await startSupervised({ app: 'supervised-jobs.js' });
    const { workers } = await service.state();
    expect(await service.ask('/limited?ms=200')).toBe('GracefulExit: SIGABRT received. SIGABRT');
    expect((await service.state()).workers.map(({ pid }) => pid)).toEqual(workers.map(({ pid }) => pid));
    service.primary.kill('SIGTERM');
    const { stdout } = await service.primary.ended;
    expect(envelopesIn(stdout)).toMatchObject([{ data: { jobType: 'limited' } }]);
  });

  it('one that is blocked for less gets nothing', async () => {
    const service = await startSupervised({ timeoutMs: 2000 });
    for (let n = 0; n < 4; n += 1) expect(await service.ask('/cpu?ms=500')).toMatch(/^served/);
    expect(service.events('worker-silent')).toEqual([]);
  });

  it('a primary that was stopped itself for longer than that accuses nobody', async () => {
    const service = await startSupervised({ timeoutMs: 500 });
    const load = new Load(service.port, { clients: 2, keepAlive: true });
    process.kill(service.primary.process.pid as number, 'SIGSTOP');
    // The service goes on meanwhile; its time is told by its answers.
    const since = performance.now();
    while (performance.now() - since < 1500) await load.answers(20);
    process.kill(service.primary.process.pid as number, 'SIGCONT');
    await service.call('state');
    await load.answers(20);
    await service.call('state');
    expect(service.events('worker-silent')).toEqual([]);
    expect(await load.stop()).toEqual([]);
  });
});

/** Blocks one worker for good. */
async function block(service: Supervised) {
  const never = service.ask('/forever').catch(() => {});
  await service.primary.line('blocked {');
  const [{ pid, at }] = blockedIn(service) as [{ pid: number; at: number }];
  const ended = await service.event('worker-ended', (event) => event.pid === pid);
  await never;
  const silences = service
    .events('worker-silent')
    .filter((event) => event.pid === pid)
    .map((event) => ({ signal: event.signal, ms: event.at - at }));
  return { silences, endedMs: ended.at - at };
}

function expectNear(silences: readonly { readonly ms: number }[], times: readonly number[]): void {
  expect(
    silences.map(({ ms }, index) => Math.abs(ms - (times[index] as number)) < TOLERANCE_MS),
    JSON.stringify(silences),
  ).toEqual(times.map(() => true));
}
