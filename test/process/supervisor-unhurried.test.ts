import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { envelopesIn } from './child.js';
import { endSupervised, type Supervised, startSupervised } from './supervised.js';

afterEach(endSupervised);

const hasScript = spawnSync('script', ['--version']).status === 0;

/** The shells that guard the children hear of the end of a worker by it. */
const everybodyIsGone = (service: Supervised) =>
  vi.waitFor(() => expect(service.alive()).toEqual([]), { timeout: 15_000 });

describe('a stop without haste', () => {
  it('D11: SIGWINCH ends the service when its requests have ended, however long that takes', async () => {
    const service = await startSupervised({ budgetMs: 1000 });
    const answer = service.ask('/slow?ms=2500');
    await service.primary.line('slow');
    service.primary.kill('SIGWINCH');
    expect(await answer).toMatch(/^served/);
    const { code, afterKillMs } = await service.primary.ended;
    expect(code).toBe(0);
    expect(afterKillMs).toBeGreaterThan(2400);
    expect(service.events('stopping')).toMatchObject([{ reason: { kind: 'signal', signal: 'SIGWINCH' } }]);
    expect(service.alive()).toEqual([]);
  });

  it('D11: with SIGTERM the same request is cut off at the budget', async () => {
    const service = await startSupervised({ budgetMs: 1000 });
    const answer = service.ask('/slow?ms=2500');
    await service.primary.line('slow');
    service.primary.kill('SIGTERM');
    expect(await answer.catch(() => 'cut off')).not.toMatch(/^served/);
    expect((await service.primary.ended).afterKillMs).toBeLessThan(1300);
  });

  // `script` (bsdutils) makes the terminal.
  it.skipIf(!hasScript)(
    'D11: on a terminal SIGWINCH says that the window has changed, and nothing happens',
    async () => {
      const primary = fileURLToPath(new URL('./fixtures/supervises.js', import.meta.url));
      const service = await startSupervised({}, {}, { fixture: 'in-terminal.js', args: [primary] });
      const { pid } = await service.event('ready');
      process.kill(pid as number, 'SIGWINCH');
      process.kill(pid as number, 'SIGHUP');
      await service.event('restarted');
      process.kill(pid as number, 'SIGTERM');
      await service.primary.ended;
      expect(service.events('stopping')).toMatchObject([{ reason: { signal: 'SIGTERM' } }]);
    },
  );

  it('D12: a request that never ends is cut off by the fail-safe', async () => {
    const service = await startSupervised({ budgetMs: 1000, failSafeMs: 2000 });
    const never = service.ask('/slow?ms=60000').catch(() => 'cut off');
    await service.primary.line('slow');
    service.primary.kill('SIGWINCH');
    const { afterKillMs } = await service.primary.ended;
    await never;
    expect(afterKillMs).toBeGreaterThan(1300);
    expect(afterKillMs).toBeLessThan(2300);
    expect(service.alive()).toEqual([]);
  });

  it.each([
    ['SIGTERM', 1400],
    ['SIGQUIT', 900],
  ] as const)(
    '%s in the middle of it is a platform in haste: the usual budget from then on',
    async (signal, mostMs) => {
      const service = await startSupervised({ budgetMs: 1200 });
      const never = service.ask('/slow?ms=60000').catch(() => 'cut off');
      await service.primary.line('slow');
      service.primary.kill('SIGWINCH');
      await service.event('stopping');
      service.primary.kill(signal);
      const { afterKillMs } = await service.primary.ended;
      await never;
      expect(afterKillMs).toBeLessThan(mostMs);
      expect(service.alive()).toEqual([]);
    },
  );

  it('D13: children of the service get the time that requests get, not only their own', async () => {
    const service = await startSupervised(
      { app: 'supervised-children.js', budgetMs: 1000 },
      { CHILD: '100 2000' },
    );
    service.primary.kill('SIGWINCH');
    const { stdout, code } = await service.primary.ended;
    expect(stdout.match(/^child persisted/gm)).toHaveLength(2);
    expect(code).toBe(0);
    await everybodyIsGone(service);
  });

  it('D13: in an ordinary stop they have their own', async () => {
    const service = await startSupervised(
      { app: 'supervised-children.js', budgetMs: 8000 },
      { CHILD: '100 2000' },
    );
    service.primary.kill('SIGTERM');
    const { stdout } = await service.primary.ended;
    expect(stdout).not.toContain('child persisted');
    await everybodyIsGone(service);
  });

  it('D16: a worker that is replaced ends when its requests have ended, while the service goes on accepting', async () => {
    const service = await startSupervised({ workers: 1, maxRequests: 3, jitter: 0, budgetMs: 20_000 });
    const slow = service.ask('/slow?ms=1500');
    await service.primary.line('slow');
    await service.ask();
    await service.ask();
    const { pid } = await service.event('worker-ready', ({ id }) => id === 2);
    // The old one is told after the new one is ready.
    let answer = '';
    while (!answer.includes(String(pid))) answer = await service.ask();
    expect(service.events('worker-ended')).toEqual([]);
    expect(await slow).toMatch(/^served/);
    await service.event('worker-ended', ({ id, code }) => id === 1 && code === 0);
  });

  it('D17: at the end of its time what it has open is refused, and then it is ended by force', async () => {
    const service = await startSupervised({ workers: 1, maxRequests: 2, jitter: 0, budgetMs: 2000 });
    const slow = service.ask('/slow?ms=60000');
    await service.primary.line('slow');
    await service.ask();
    const { at } = await service.event('worker-ready', ({ id }) => id === 2);
    expect(await slow).toContain('shutting down');
    const ended = await service.event('worker-ended', ({ id }) => id === 1);
    expect(ended.at - at).toBeLessThan(2300);
    expect(await service.ask()).toMatch(/^served/);
  });

  it('D21: clean-up runs although requests are cut off', async () => {
    const service = await startSupervised({ app: 'supervised-jobs.js', workers: 1, budgetMs: 1000 });
    await service.ask('/begin');
    service.primary.kill('SIGQUIT');
    const { stdout } = await service.primary.ended;
    expect(stdout.match(/^hears /gm)).toHaveLength(1);
    expect(envelopesIn(stdout)).toHaveLength(1);
  });
});
