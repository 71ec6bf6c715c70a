import { describe, expect, it } from 'vitest';
import { envelopesIn, start, startAndKill } from './child.js';

const env = { SHUTDOWN_BUDGET_MS: '400' };

describe('whatever ends the process', () => {
  it.each([
    ['uncaughtException', 1],
    ['unhandledRejection', 1],
    ['idle', 0],
    ['request', 0],
  ])('A02: %s is reported as such and exits with %i', async (way, expected) => {
    const { code, stdout } = await start('dies.js', { args: [way], env }).ended;
    expect(envelopesIn(stdout)).toMatchObject([{ subject: 'r1', data: { reason: way } }]);
    expect(code).toBe(expected);
  });

  it('process.exit by the application: the open job is on stderr, the code stays', async () => {
    const { code, stderr } = await start('dies.js', { args: ['exit'], env }).ended;
    expect(envelopesIn(stderr)).toMatchObject([{ subject: 'r1', data: { reason: 'exit' } }]);
    expect(code).toBe(3);
  });

  it('process.exit(0) right after the begin: the whole envelope is on stderr, and the code is no success', async () => {
    const { code, stderr } = await start('dies.js', { args: ['exit at once'], env }).ended;
    expect(envelopesIn(stderr)).toMatchObject([{ subject: 'r1', data: { payload: { page: 7 } } }]);
    expect(code).toBe(1);
  });

  it('A27: with every notifier dead the job ends on stderr, one line, and the exit code says so', async () => {
    const { code, stdout, stderr } = await startAndKill('open-job.js', 'SIGTERM', {
      env: { ...env, SHUTDOWN_WEBHOOK_URL: 'http://127.0.0.1:9/' },
    });
    expect(code).toBe(1);
    expect(envelopesIn(stderr)).toMatchObject([{ subject: 'r1' }]);
    expect(envelopesIn(stdout)).toEqual([]);
    expect(stderr).toMatch(/exit code 1 because of 1 jobs rejected or expired/);
  });

  it('a reader of stderr that has gone costs no job its report', async () => {
    const child = start('open-job.js', { env });
    await child.line('ready');
    child.process.stderr?.destroy();
    child.kill('SIGTERM');
    const { code, stdout } = await child.ended;
    expect(envelopesIn(stdout)).toMatchObject([{ subject: 'r1' }]);
    expect(code).toBe(0);
  });

  it('what fails in those who wait for the report is told before the exit', async () => {
    const { stderr } = await start('late-rejection.js', { env }).ended;
    expect(stderr).toContain('the report could not be stored');
  });

  it("one bus's deadline does not end another one's shutdown", async () => {
    const { code, stdout } = await startAndKill('two-buses.js', 'SIGTERM');
    expect(stdout).toContain('the long one is done');
    expect(code).toBe(0);
  });
});
