import { describe, expect, it } from 'vitest';
import { createTestBus, never, pass, settle } from '../test-bus.js';

describe('signals', () => {
  it('A03: SIGTERM begins the shutdown, once; a repeated one is ignored and says so', async () => {
    const { bus, host, lines } = createTestBus();
    let runs = 0;
    bus.subscribeShutdown(() => void (runs += 1), { name: 'count' });
    host.kill('SIGTERM');
    host.kill('SIGTERM');
    host.kill('SIGHUP');
    await bus.requestShutdown();
    expect(runs).toBe(1);
    expect(lines.filter((line) => /ignored: the shutdown is under way/.test(line))).toHaveLength(2);
  });

  it('SIGINT twice ends by force with 130, at once', async () => {
    const { bus, host } = createTestBus();
    bus.subscribeShutdown(never, { name: 'hung' });
    host.kill('SIGINT');
    await settle();
    expect(host.exitCode).toBeUndefined();
    host.kill('SIGINT');
    expect(host.exitCode).toBe(130);
  });

  it('one SIGINT during a shutdown begun by SIGTERM does not force it, a second one does', async () => {
    const { bus, host } = createTestBus();
    bus.subscribeShutdown(never, { name: 'hung' });
    host.kill('SIGTERM');
    await settle();
    host.kill('SIGINT');
    expect(host.exitCode).toBeUndefined();
    host.kill('SIGINT');
    expect(host.exitCode).toBe(130);
  });

  it('one that is named twice is heard once: one SIGINT is no force', async () => {
    const { bus, host } = createTestBus({ signals: ['SIGINT', 'SIGINT'] });
    bus.subscribeShutdown(never, { name: 'hung' });
    host.kill('SIGINT');
    await settle();
    expect(host.exitCode).toBeUndefined();
    bus.dispose();
    expect(host.listenerCount('SIGINT')).toBe(1);
  });

  it('a signal that was not asked for is left alone', () => {
    const { host } = createTestBus({ signals: ['SIGUSR2'] });
    expect(host.kill('SIGTERM')).toBe(false);
    expect(host.kill('SIGUSR2')).toBe(true);
  });
});

describe('other triggers', () => {
  it('an uncaughtException is logged with its stack and ends with 1, jobs reported', async () => {
    const { bus, host, lines, notifier, clock } = createTestBus({ interruptGraceMs: 0 });
    bus.jobs.begin({ type: 'render' });
    host.emit('uncaughtException', new Error('boom'));
    await pass(clock, 10_000, 500);
    const report = await bus.requestShutdown();
    expect(notifier.received[0]?.data.reason).toBe('uncaughtException');
    expect(report).toMatchObject({ exitCode: 1, reason: { kind: 'error', origin: 'uncaughtException' } });
    expect(lines.join('\n')).toMatch(/Error: boom at .*signals\.test/);
  });

  it('an error during the shutdown is an entry of the report and does not stop it', async () => {
    const { bus, host } = createTestBus();
    let released = false;
    bus.subscribeShutdown(() => void host.emit('unhandledRejection', 'late'), {
      name: 'careless',
      phase: 'drain',
    });
    bus.subscribeShutdown(() => void (released = true), { name: 'pool' });
    const report = await bus.requestShutdown();
    expect(released).toBe(true);
    expect(report.errors.map(({ message }) => message)).toEqual([
      'unhandledRejection during the shutdown: late',
    ]);
  });

  it('an empty event loop with open jobs reports them; without open jobs it ends as ever', async () => {
    const { bus, host, notifier, clock } = createTestBus({ interruptGraceMs: 0 });
    host.emit('beforeExit', 0);
    await settle();
    expect(bus.state).toBe('running');
    bus.jobs.begin({ type: 'waits for nothing' });
    host.emit('beforeExit', 0);
    await pass(clock, 10_000, 500);
    await bus.requestShutdown();
    expect(notifier.received[0]?.data.reason).toBe('idle');
  });
});
