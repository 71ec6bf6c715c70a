import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CONTAINED, countZombies, firstProcessOf, uncontained } from './container.js';
import { pidsWith } from './processes.js';
import { startManager, unmanaged } from './service-manager.js';
import { endSupervised, startSupervised } from './supervised.js';

const undo: (() => void)[] = [];
afterEach(() => {
  endSupervised();
  for (const step of undo.splice(0)) step();
});

describe('a supervised service', () => {
  it.skipIf(unmanaged !== '')(
    `tells systemd what it does, and its workers say nothing${unmanaged}`,
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
      const address = join(folder, 'notify');
      const manager = await startManager(address);
      undo.push(
        () => manager.close(),
        () => rmSync(folder, { recursive: true }),
      );
      manager.listen();
      const service = await startSupervised({ budgetMs: 4000 }, { NOTIFY_SOCKET: address });
      const { pid } = service.primary.process;
      await service.call('reload');
      service.primary.kill('SIGTERM');
      expect((await service.primary.ended).code).toBe(0);
      const told = () =>
        manager.notices
          .map(({ message }) => message.split('\n')[0])
          .filter((line) => !line?.startsWith('STATUS='));
      await vi.waitFor(() => expect(told()).toEqual(['READY=1', 'RELOADING=1', 'READY=1', 'STOPPING=1']), {
        timeout: 15_000,
      });
      const messages = manager.notices.map(({ message }) => message);
      expect(messages).toContain('STATUS=2 of 2 workers ready');
      expect(messages).toContain('STOPPING=1\nEXTEND_TIMEOUT_USEC=9000000');
      expect(new Set(manager.notices.map((notice) => notice.pid))).toEqual(new Set([pid]));
    },
  );

  it.skipIf(uncontained !== '')(
    `is process 1 of its container: it waits for orphans, and ends with its own code${uncontained}`,
    async () => {
      const service = await startSupervised({ workers: 1 }, {}, { through: CONTAINED });
      const first = firstProcessOf(service.primary.process);
      expect(await service.ask('/orphan')).toMatch(/^served/);
      await service.primary.line('orphan ended');
      await vi.waitFor(() => expect(countZombies(first)).toBe(0), { timeout: 15_000, interval: 50 });
      process.kill(first, 'SIGTERM');
      expect((await service.primary.ended).code).toBe(0);
    },
  );

  it('shows in ps who is who, and who is stopping', async () => {
    const service = await startSupervised({ workers: 1 });
    const [worker] = (await service.state()).workers;
    const titleOf = (pid: number | undefined) =>
      readFileSync(`/proc/${pid}/cmdline`, 'latin1').replace(/\0.*$/s, '');
    expect(titleOf(worker?.pid)).toBe('shutdown-bus: worker 1 supervised-app.js');
    expect(titleOf(service.primary.process.pid)).toContain('primary');
    const answer = service.ask('/slow?ms=1500');
    await service.primary.line('slow');
    service.primary.kill('SIGTERM');
    await vi.waitFor(() =>
      expect(titleOf(worker?.pid)).toBe('shutdown-bus: worker 1 supervised-app.js stopping'),
    );
    expect(titleOf(service.primary.process.pid)).toContain('stopping');
    await answer;
  });

  it.skipIf(process.platform !== 'linux')(
    'warns when a shell of npm stands between it and its signals',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
      const app = fileURLToPath(new URL('./fixtures/supervised-app.js', import.meta.url));
      const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
      // Another command follows, so that no shell takes its own place with the first one.
      const scripts = { start: `"${process.execPath}" "${cli}" run -w 1 "${app}"; true` };
      writeFileSync(
        join(folder, 'package.json'),
        JSON.stringify({ name: 'service', version: '1.0.0', scripts }),
      );
      const env = { ...process.env, SCENE: folder, XDG_RUNTIME_DIR: folder, PORT: '0' };
      const npm = spawn('npm', ['start'], { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] });
      undo.push(() => {
        for (const pid of pidsWith('SCENE', folder)) process.kill(pid, 'SIGKILL');
        rmSync(folder, { recursive: true, force: true });
      });
      let said = '';
      npm.stderr.setEncoding('utf8').on('data', (text) => {
        said += text;
      });
      await vi.waitFor(() => expect(said).toContain('is ready'), { timeout: 30_000 });
      expect(said).toMatch(/signals may not reach this process: .*npm run start.*; what helps: /);
    },
  );
});
