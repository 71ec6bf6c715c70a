import { describe, expect, it } from 'vitest';
import { RawClient } from '../http/raw-client.js';
import { type Child, type Ending, start } from './child.js';

const BUDGET_MS = 1000;
const LATE_MS = BUDGET_MS + 250;
const env = { SHUTDOWN_BUDGET_MS: String(BUDGET_MS) };

/** A server that has answered one request, whose connection is still open. */
async function startService(...args: string[]) {
  const child: Child = start('http-guarded.js', { args, env });
  let stdout = '';
  child.process.stdout?.on('data', (text: string) => {
    stdout += text;
  });
  await child.line('ready');
  const client = new RawClient(Number(/^port (\d+)$/m.exec(stdout)?.[1])).get('/');
  await client.until('served');
  return { child, client };
}

function expectEndByThread({ signal, stdout, stderr, afterKillMs }: Ending): void {
  expect([signal, stdout]).toEqual(['SIGKILL', expect.stringContaining('blocked')]);
  expect(stderr).toContain('the event loop was still blocked at the deadline');
  expect(afterKillMs).toBeLessThan(LATE_MS);
}

describe('the deadline of a drained server', () => {
  it('nothing under way: it is gone without a thread', async () => {
    const { child } = await startService();
    child.kill('SIGTERM');
    const { code, stdout, stderr } = await child.ended;
    const tookMs = Number(/stopped: .*, (\d+) of \d+ ms/.exec(stderr)?.[1]);
    // A tenth of a second later the thread is there in any case.
    expect([code, stdout.includes('thread') && tookMs < 95, tookMs >= 0]).toEqual([0, false, true]);
  });

  it('negative twin: somebody watches it, and the thread is there', async () => {
    const { child } = await startService('watched');
    child.kill('SIGTERM');
    const { code, stdout } = await child.ended;
    expect([code, stdout]).toEqual([0, expect.stringContaining('thread')]);
  });

  it('a request that comes after the signal and blocks the loop has the thread beside it', async () => {
    const { child, client } = await startService('request');
    child.kill('SIGTERM');
    await child.line('stopping:');
    client.get('/');
    expectEndByThread(await child.ended);
  });

  it.each([
    ['a handler that blocks it', 'handler'],
    ['an observer that blocks it', 'observer'],
    ['whatever else blocks it, a while after the signal', 'timer'],
  ])('%s has the thread beside it', async (_name, kind) => {
    const { child } = await startService(kind);
    child.kill('SIGTERM');
    expectEndByThread(await child.ended);
  });
});
