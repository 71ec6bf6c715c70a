import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { envelopesIn, FEW_DESCRIPTORS, start, startAndKill } from './child.js';
import { copyPackage } from './package-copy.js';

const FIXTURE = fileURLToPath(new URL('./fixtures/open-job.js', import.meta.url));
const env = { SHUTDOWN_BUDGET_MS: '1000' };

const SAY_SETTLED = `
const { settled } = await import(${JSON.stringify(new URL('./fixtures/settled.js', import.meta.url))});
await settled();
console.log('settled');
`;

/** A service whose package has lost these files, before its start. */
function serviceWithout(files: readonly string[]): string {
  const copy = copyPackage();
  for (const file of files) rmSync(join(copy, 'dist/src', file));
  copyFileSync(FIXTURE, join(copy, 'service.js'));
  return pathToFileURL(join(copy, 'service.js')).href;
}

describe('files of the package are missing', () => {
  it.each([{ files: ['shutdown.js'] }, { files: ['exit.js', 'delivery.js'] }])(
    '$files: without any step, the process ends with 1 and says on stderr which jobs are open',
    async ({ files }) => {
      const { code, stdout, stderr } = await startAndKill(serviceWithout(files), 'SIGTERM', { env });
      expect(code).toBe(1);
      expect(stderr).toContain(`not everything that a shutdown needs can be loaded: Cannot find module`);
      expect(stderr).toContain(
        'stopping: SIGTERM (15), without any step: what runs them could not be loaded',
      );
      expect(envelopesIn(stderr)).toMatchObject([{ subject: 'r1', data: { reason: 'SIGTERM' } }]);
      expect(stdout).not.toContain('released');
    },
  );

  it('what delivers: every other step runs', async () => {
    const { code, stdout, stderr } = await startAndKill(serviceWithout(['delivery.js']), 'SIGTERM', { env });
    expect(code).toBe(1);
    expect(envelopesIn(stderr)).toMatchObject([{ subject: 'r1', data: { reason: 'SIGTERM' } }]);
    expect(stdout).toContain('released');
  });

  it('after the start: nothing is missed', async () => {
    const copy = copyPackage();
    writeFileSync(join(copy, 'service.js'), readFileSync(FIXTURE, 'utf8') + SAY_SETTLED);
    const child = start(pathToFileURL(join(copy, 'service.js')).href, { env });
    await child.line('settled');
    rmSync(join(copy, 'dist'), { recursive: true });
    child.kill('SIGTERM');
    const { code, stdout } = await child.ended;
    expect(envelopesIn(stdout)).toMatchObject([{ subject: 'r1' }]);
    expect(code).toBe(0);
  });
});

describe('no file descriptor is left', () => {
  async function service(more: NodeJS.ProcessEnv) {
    const heard: string[] = [];
    const server = createServer((request, response) => {
      request.setEncoding('utf8').on('data', (text) => heard.push(text));
      request.on('end', () => response.end());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const child = start('no-descriptors.js', {
      env: { ...env, URL: url, ...more },
      through: FEW_DESCRIPTORS,
    });
    await child.line('ready');
    return { child, heard };
  }

  it('a notifier that needs none takes the report', async () => {
    const { child, heard } = await service({ FALLBACK: '1' });
    child.process.stdin?.write('take all\n');
    await child.line('none left: EMFILE');
    child.kill('SIGTERM');
    const { code, stdout, stderr } = await child.ended;
    expect(stderr).toContain('gave no answer: EMFILE');
    expect(envelopesIn(stdout)).toMatchObject([{ subject: 'r1', data: { payload: { page: 7 } } }]);
    expect([code, heard]).toEqual([0, []]);
  });

  it('where there is no other one, it is said on stderr, in time', async () => {
    const { child, heard } = await service({});
    child.process.stdin?.write('take all\n');
    await child.line('none left: EMFILE');
    child.kill('SIGTERM');
    const { code, stderr, afterKillMs } = await child.ended;
    expect(envelopesIn(stderr)).toMatchObject([{ subject: 'r1', data: { payload: { page: 7 } } }]);
    expect([code, heard]).toEqual([1, []]);
    expect(afterKillMs).toBeLessThan(1000);
  });

  it('negative twin: with some the same service reaches its webhook', async () => {
    const { child, heard } = await service({});
    child.kill('SIGTERM');
    expect((await child.ended).code).toBe(0);
    expect(heard.join('')).toContain('"r1"');
  });
});
