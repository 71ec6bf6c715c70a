import { expect, it, vi } from 'vitest';
import { readProcess } from '../../children/process-table.js';
import type { ShutdownReport } from '../../src/index.js';
import { start } from './child.js';

// One that nobody has waited for is not alive.
const isAlive = (pid: number) => !['Z', undefined].includes(readProcess(pid)?.state);
const allGone = (pids: readonly number[]) =>
  vi.waitFor(() => expect(pids.filter(isAlive)).toEqual([]), { timeout: 15_000 });

async function startService() {
  const service = start('asks-helper.js');
  await service.line('ready\n');
  const pids = (service.texts().stdout.match(/pids (.*)/)?.[1] ?? '').split(' ').map(Number);
  expect(pids.map(isAlive)).toEqual([true, true, true]);
  return { service, pids };
}

it('D26: a child with an IPC channel starts programs for the service, also in the drain, and all of them end with it', async () => {
  const { service, pids } = await startService();
  service.kill('SIGTERM');
  const { code, stdout } = await service.ended;
  expect(code).toBe(0);
  const late = Number(stdout.match(/in the drain: (\d+)/)?.[1]);
  expect(late).toBeGreaterThan(0);
  expect(stdout).toContain('helper ends');
  const line = stdout.split('\n').find((text) => text.startsWith('{"reason"')) as string;
  const step = (JSON.parse(line) as ShutdownReport).handlers.find(({ name }) => name === 'stop child helper');
  expect(step).toMatchObject({ outcome: 'done', details: { by: 'asked', group: true } });
  await allGone([...pids, late]);
});

it('D26: the service is killed, and its helper ends with what it has started', async () => {
  const { service, pids } = await startService();
  service.kill('SIGKILL');
  await service.ended;
  await allGone(pids);
});
