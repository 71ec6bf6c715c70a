import { afterEach, describe, expect, it } from 'vitest';
import { ChildService, killServices } from '../http/child-service.js';

afterEach(killServices);

/** SIGTERM while a page is being rendered: what the service said from then on, how it ended, what the client got. */
async function terminate(manner: 'drained' | 'module' | 'plain') {
  const service = new ChildService('nest-service.js', [manner]);
  const port = await service.line('port');
  const page = fetch(`http://127.0.0.1:${port}/page`).then((response) => response.text());
  page.catch(() => {});
  await service.line('asked for');
  service.kill('SIGTERM');
  const ending = await service.exited;
  const said = service.stdout.split('\n').slice(2, -1);
  return { said, ending, stderr: service.stderr, page };
}

describe('SIGTERM to a Nest application that has enabled its shutdown hooks', () => {
  it('nestShutdown: the request is answered, then the hooks run, and the exit code is ours', async () => {
    const { said, ending, page } = await terminate('drained');
    expect(await page).toBe('rendered');
    expect(said).toEqual([
      'answered now',
      'onModuleDestroy now',
      'onApplicationShutdown SIGTERM',
      'stopped 0',
    ]);
    expect(ending).toEqual({ code: 0, signal: null });
  });

  it('Nest alone: the hooks run at the signal, under the request', async () => {
    const { said, ending } = await terminate('plain');
    expect(said[0]).toBe('onModuleDestroy now');
    expect(said).toContain('answered now');
    expect(ending.signal).toBe('SIGTERM');
  });

  it('ShutdownModule alone: the same, but it was said at the start, with the cure', async () => {
    const { said, stderr } = await terminate('module');
    expect(said[0]).toBe('onModuleDestroy now');
    const [warning] = stderr.split('\n');
    expect(warning).toContain('leave it out and call nestShutdown(app)');
  });
});
