import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { envelopesIn, start, startAndKill } from './child.js';
import { CONTAINED, firstProcessOf, uncontained } from './container.js';
import { copyPackage } from './package-copy.js';

describe('a real process and a real signal', () => {
  it('A03 A06 A24 A25 A32 D03 D04: SIGTERM reports the open job, lets earlier listeners run, and exits 0', async () => {
    const { code, stdout, stderr } = await startAndKill('open-job.js', 'SIGTERM', {
      env: { SHUTDOWN_BUDGET_MS: '400' },
    });
    expect(code).toBe(0);
    expect(envelopesIn(stdout)).toMatchObject([
      {
        subject: 'r1',
        data: { jobType: 'render', payload: { page: 7 }, reason: 'SIGTERM', outcome: 'interrupted' },
      },
    ]);
    expect(stdout).toContain('earlier listener');
    expect(stdout).toContain('released');
    expect(stderr).toMatch(/stopping: SIGTERM \(15\), 1 jobs open/);
  });

  it.each(['SIGINT', 'SIGHUP', 'SIGQUIT'] as const)('%s does it as well', async (signal) => {
    const { code, stdout } = await startAndKill('open-job.js', signal, {
      env: { SHUTDOWN_BUDGET_MS: '400' },
    });
    expect(code).toBe(0);
    expect(envelopesIn(stdout)).toMatchObject([{ subject: 'r1', data: { reason: signal } }]);
  });

  it('negative twin: without the package the same signal ends the process and nobody hears of the job', () => {
    const { signal, stdout } = spawnSync(process.execPath, [
      '-e',
      "const jobs = new Map([['r1', {}]]); process.kill(process.pid, 'SIGTERM'); setInterval(() => jobs, 1000)",
    ]);
    expect([signal, stdout.toString()]).toEqual(['SIGTERM', '']);
  });

  // Only root, or a user with namespaces, can be the first process of a new pid namespace.
  it.skipIf(uncontained)(`A03: works as PID 1 of a container${uncontained}`, async () => {
    const child = start('open-job.js', { env: { SHUTDOWN_BUDGET_MS: '400' }, through: CONTAINED });
    await child.line('ready');
    process.kill(firstProcessOf(child.process), 'SIGTERM');
    const { code, stdout } = await child.ended;
    expect(code).toBe(0);
    expect(envelopesIn(stdout)).toMatchObject([{ subject: 'r1', data: { pid: 1 } }]);
  });

  it.skipIf(uncontained)(
    `A05: as PID 1, which the kernel shields from its own SIGKILL, a blocked loop ends too${uncontained}`,
    async () => {
      const child = start('blocks-loop.js', { env: { SHUTDOWN_BUDGET_MS: '500' }, through: CONTAINED });
      await child.line('ready');
      const startedAt = performance.now();
      process.kill(firstProcessOf(child.process), 'SIGTERM');
      const { stdout, stderr } = await child.ended;
      expect(performance.now() - startedAt).toBeLessThan(3000);
      expect(envelopesIn(stdout + stderr)).toMatchObject([{ subject: 'r1' }]);
      expect(stderr).toContain('the event loop was still blocked at the deadline');
    },
  );

  it('SIGINT twice ends at once with 130 and puts the open job on stderr', async () => {
    const child = start('never-settles.js', { env: { SHUTDOWN_BUDGET_MS: '60000' } });
    await child.line('ready');
    child.kill('SIGINT');
    await child.line('stopping: SIGINT');
    child.kill('SIGINT');
    const { code, stderr, afterKillMs } = await child.ended;
    expect(code).toBe(130);
    expect(envelopesIn(stderr)).toMatchObject([{ subject: 'r1' }]);
    expect(afterKillMs).toBeLessThan(5000);
  });

  it('SIGTERM twice is ignored: the second does not kill the clean-up', async () => {
    const child = start('never-settles.js', { env: { SHUTDOWN_BUDGET_MS: '600' } });
    await child.line('ready');
    child.kill('SIGTERM');
    await child.line('stopping: SIGTERM');
    child.kill('SIGTERM');
    const { code, stdout } = await child.ended;
    expect(code).toBe(1);
    expect(envelopesIn(stdout)).toHaveLength(1);
  });

  it('C03: a real SIGABRT rejects a guarded section with a GracefulExit', async () => {
    const { code, stdout } = await startAndKill('guarded.js', 'SIGABRT');
    expect(code).toBe(0);
    expect(stdout).toContain('true SIGABRT received.');
  });

  const hasScript = spawnSync('script', ['--version']).status === 0;

  // `script` (bsdutils) makes the terminal.
  it.skipIf(!hasScript)('C16: on a terminal Ctrl-C sends SIGINT, Ctrl-D does not', async () => {
    const fixture = fileURLToPath(new URL('./fixtures/open-job.js', import.meta.url));
    const child = start('in-terminal.js', { args: [fixture], env: { SHUTDOWN_BUDGET_MS: '400' } });
    await child.line('ready');
    child.process.stdin?.write('\x04');
    await child.line('typed 4');
    child.process.stdin?.write('\x03');
    await child.line('released');
    const { stdout } = await child.ended;
    expect(stdout.match(/stopping: \w+/g)).toEqual(['stopping: SIGINT']);
  });

  it('a server that nobody drains is told of at the exit, one that is closed by then is not', async () => {
    const said = async (env: NodeJS.ProcessEnv) =>
      (await startAndKill('careless.js', 'SIGTERM', { env })).stderr;
    expect(await said({ SERVES: '1' })).toMatch(/a server still listens, .* drainServer\(server\)/);
    expect(await said({})).not.toContain('a server still listens');
    expect(await said({ SERVES: '1', CLOSES: '1' })).not.toContain('a server still listens');
  });

  it('an exit by another listener is told of, with the handler that it cuts off', async () => {
    const { code, stderr } = await startAndKill('careless.js', 'SIGTERM', { env: { EXITS: '1' } });
    expect(code).toBe(0);
    expect(stderr).toMatch(/the process ends with 0 in the middle .*; unfinished: "database"/);
  });

  it('a bad environment stops the service at start with one error that lists every bad variable', async () => {
    const { code, stderr } = await start('open-job.js', {
      env: {
        SHUTDOWN_BUDGET_MS: '5s',
        SHUTDOWN_NOTIFIERS: 'webhook',
        SHUTDOWN_WEBHOOK_SECRET: 'no base64: hunter2',
      },
    }).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/SHUTDOWN_BUDGET_MS: got "5s"/);
    expect(stderr).toMatch(/SHUTDOWN_WEBHOOK_URL: got nothing/);
    expect(stderr).toMatch(/SHUTDOWN_WEBHOOK_SECRET: got a text of \d+ characters \(not shown\)/);
    expect(stderr).not.toContain('hunter2');
  });

  it('the IPC message "shutdown" begins it, and listening for it keeps nobody alive', async () => {
    const stays = start('ipc.js', { ipc: true, args: ['stay'], env: { SHUTDOWN_BUDGET_MS: '400' } });
    await stays.line('ready');
    stays.process.send?.('shutdown');
    const { code, stdout } = await stays.ended;
    expect(code).toBe(0);
    expect(envelopesIn(stdout)).toMatchObject([{ data: { reason: 'request' } }]);
    expect((await start('ipc.js', { ipc: true }).ended).code).toBe(0);
  });

  it('two copies of the package share one bus', async () => {
    const { code, stdout } = await startAndKill('two-copies.js', 'SIGTERM', {
      args: [join(copyPackage(), 'dist/src/index.js')],
      env: { SHUTDOWN_BUDGET_MS: '400' },
    });
    expect(stdout).toContain('same bus: true, same code: false');
    expect(envelopesIn(stdout).map(({ data }) => data.jobType)).toEqual([
      'from the first copy',
      'from the second copy',
    ]);
    expect(code).toBe(0);
  });

  it('works from require()', async () => {
    const { code, stdout } = await startAndKill('require.cjs', 'SIGTERM', {
      env: { SHUTDOWN_BUDGET_MS: '400' },
    });
    expect(code).toBe(0);
    expect(envelopesIn(stdout)).toMatchObject([{ subject: 'functionfunction' }]);
  });
});
