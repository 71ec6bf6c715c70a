import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { accepted, begin, killed, place, readiness, ready, useOwnPlace } from './lmdb-place.js';

useOwnPlace();

describe('a disk that cannot be written', () => {
  const mounted = (options: string) => {
    // In a mount namespace of its own, which ends with the process.
    const script = `mount -t tmpfs -o ${options} tmpfs "$0" && exec "$@"`;
    return ['unshare', '--mount', 'sh', '-c', script, place.folder];
  };

  it('full: the service goes on degraded, says so loudly and in its readiness, and reports its jobs at the end', async () => {
    place.env.PAYLOAD_BYTES = '10000';
    const child = await ready(['300', 'serves', 'at once'], mounted('size=2m'));
    await child.line('the job store lmdb failed: ENOSPC');
    expect(await readiness(child)).toEqual([200, expect.stringMatching(/^ok, degraded/)]);
    child.kill('SIGTERM');
    const { code, stderr } = await child.ended;
    expect([code, accepted().length], stderr).toEqual([0, 300]);
  });

  it.each([
    ['read-only', 'ro,size=2m', /EROFS|read-only file system|no such file/i],
    ['full from the start', 'size=4k', /no space left on device/i],
  ])('%s: the same', async (_what, options, error) => {
    const child = await ready(['5', 'serves', 'at once'], mounted(options));
    expect(await readiness(child)).toEqual([200, expect.stringMatching(/^ok, degraded/)]);
    child.kill('SIGTERM');
    const { code, stderr } = await child.ended;
    expect([code, accepted().length]).toEqual([0, 5]);
    expect(stderr).toMatch(error);
  });

  it('with room again: the store works again, and holds every open job', async () => {
    const orders = join(mkdtempSync(join(tmpdir(), 'shutdown-bus-orders-')), 'orders');
    place.env.ORDERS = orders;
    place.env.PAYLOAD_BYTES = '10000';
    const ballast = join(place.folder, 'ballast');
    const script = `mount -t tmpfs -o size=4m tmpfs "$0" && head -c 3500000 /dev/zero > ${ballast} && exec "$@"`;
    const child = await ready(
      ['100', 'follows', 'at once'],
      ['unshare', '--mount', 'sh', '-c', script, place.folder],
    );
    await child.line('the job store lmdb failed');
    // Into its mount namespace, to make room.
    execFileSync('nsenter', ['--mount', '--target', String(child.process.pid), 'rm', ballast]);
    await child.line('the job store lmdb works again; it holds all open jobs');
    writeFileSync(orders, 'begin 1\n');
    await child.line('done begin 1: 101 open, degraded false');
    await killed(child);
    rmSync(join(orders, '..'), { recursive: true });
  });

  it.each([
    ['x', 1],
    ['€', 3],
  ])(
    'a record of %s that is too large for it leaves it as it was, and small ones are kept',
    async (character, bytesEach) => {
      const sizes = [1000, 3_000_000, 20_000_000, 1000, 1000].map((bytes) =>
        String(Math.ceil(bytes / bytesEach)),
      );
      const child = begin(
        'puts-records.js',
        [join(place.folder, 'jobs'), character, ...sizes],
        mounted('size=12m'),
      );
      const { stdout, stderr } = await child.ended;
      expect(stderr).toBe('');
      const puts = JSON.parse(stdout) as { result: string; free: number }[];
      expect(puts.map(({ result }) => result)).toEqual(['kept', 'kept', 'ENOSPC', 'kept', 'kept']);
      expect(puts[2]?.free).toBe(puts[1]?.free);
      // Room is made for what is there, and not for three times as much.
      expect(puts[1]?.free).toBeGreaterThan(4_000_000);
    },
  );

  it('without room for a large job that is set aside: it stays where it is, and the store works on', async () => {
    const child = begin('sets-aside.js', [join(place.folder, 'jobs'), '4000000'], mounted('size=12m'));
    const { code, stdout, stderr } = await child.ended;
    expect([code, stdout, stderr]).toEqual([0, 'ENOSPC\n', '']);
  });

  it('nearly full: small records are kept down to the last bytes', async () => {
    const sizes = Array.from({ length: 40 }, () => '100000');
    const child = begin('puts-records.js', [join(place.folder, 'jobs'), 'x', ...sizes], mounted('size=3m'));
    const { stdout, stderr } = await child.ended;
    expect(stderr).toBe('');
    const puts = JSON.parse(stdout) as { result: string; free: number }[];
    const kept = puts.filter(({ result }) => result === 'kept').length;
    expect(kept).toBeGreaterThan(20);
    expect(puts.slice(kept).map(({ result }) => result)).toEqual(Array(40 - kept).fill('ENOSPC'));
    expect(puts.at(-1)?.free).toBeLessThan(200_000);
  });
});
