import {
  chmodSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  accepted,
  asideFiles,
  dataFile,
  idsOf,
  killed,
  place,
  ready,
  reports,
  stopped,
  useOwnPlace,
} from './lmdb-place.js';

useOwnPlace();

describe('what is in the folder', () => {
  it('is readable by its owner only', async () => {
    await killed(await ready(['1']));
    const jobs = join(place.folder, 'jobs');
    expect((statSync(jobs).mode & 0o777).toString(8)).toBe('700');
    for (const name of readdirSync(jobs))
      expect([name, (statSync(join(jobs, name)).mode & 0o777).toString(8)]).toEqual([name, '600']);
  });

  it('does not grow: a hundred thousand finished jobs leave no trace', async () => {
    place.env.PAYLOAD_BYTES = '1000';
    await killed(await ready(['100000', 'completes']));
    expect(statSync(dataFile()).size).toBeLessThan(4_000_000);
  }, 120_000);

  it('has nothing that is redacted', async () => {
    place.env.SHUTDOWN_REDACT = 'card';
    await killed(await ready(['5']));
    expect(readFileSync(dataFile(), 'latin1')).not.toContain('hunter2');
  });

  it('has no payload in the clear when there is a key, and whoever has the key reads it', async () => {
    place.env.SHUTDOWN_STORE_KEY = `2026a:${Buffer.alloc(32, 7).toString('base64')}`;
    const dead = await ready(['2', 'checkpoints']);
    await killed(dead);
    const written = readFileSync(dataFile(), 'latin1');
    expect(written).not.toMatch(/hunter2|"rows"/);
    expect(written).toContain('"sealed":"2026a.');
    place.env.SHUTDOWN_STORE_KEY = `2026b:${Buffer.alloc(32, 8).toString('base64')},${place.env.SHUTDOWN_STORE_KEY}`;
    await ready(['0']);
    await expect.poll(() => reports().length).toBe(2);
    expect(reports()[0]?.data).toMatchObject({ payload: { card: 'hunter2' }, progress: { rows: 1 } });
  });

  it('negative twin: without key and redaction it is all there', async () => {
    await killed(await ready(['5']));
    expect(readFileSync(dataFile(), 'latin1')).toContain('hunter2');
  });
});

describe('data that is torn or of somebody else', () => {
  it.each<[string, (path: string) => void]>([
    ['a text file', (path) => writeFileSync(path, 'Dear diary,\n'.repeat(2000))],
    ['a short text file', (path) => writeFileSync(path, 'x')],
    [
      'random bytes',
      (path) => writeFileSync(path, Buffer.from(Array.from({ length: 50_000 }, (_, n) => (n * 7919) % 251))),
    ],
    ['cut off in its first page', (path) => truncateSync(path, 1000)],
    ['cut off in the middle', (path) => truncateSync(path, Math.floor(usedBytes(path) / 2))],
    ['overwritten in the middle', (path) => overwrite(path, 0.3, 0.6)],
    ['overwritten from the third page on', (path) => overwrite(path, 0.05, 1)],
    ['with a first page of another version', (path) => overwriteAt(path, 28, Buffer.from([9, 0, 0, 0]))],
    ['of zeros', (path) => writeFileSync(path, Buffer.alloc(100_000))],
  ])(
    '%s: is set aside, an error says so, and the service starts and keeps its jobs',
    async (_what, damage) => {
      await killed(await ready(['200']));
      damage(dataFile());
      const next = await readyAtLast(['3']);
      await expect.poll(() => asideFiles().length).toBe(1);
      await killed(next);
      const { stderr } = await next.ended;
      expect(stderr).toMatch(/store lmdb: the data in .* was put aside: .*; it is now .*jobs\.mdb\.aside-/);
      await ready(['0']);
      await expect
        .poll(() => accepted().filter((id) => id.startsWith(next.instanceId)))
        .toEqual(idsOf(next, 3));
    },
  );

  it('an empty file is as good as none', async () => {
    mkdirSync(join(place.folder, 'jobs'));
    writeFileSync(dataFile(), '');
    await killed(await ready(['1']));
    expect(asideFiles()).toEqual([]);
  });

  it('a lock file of somebody else keeps nobody from starting', async () => {
    await killed(await ready(['1']));
    writeFileSync(`${dataFile()}-lock`, 'Dear diary,\n'.repeat(1000));
    await killed(await ready(['2']));
    await ready(['0']);
    await expect.poll(() => accepted().length).toBe(3);
  });

  it('that killed the last three who read it is set aside unread', async () => {
    await killed(await ready(['1']));
    const reader = { pid: 2 ** 22 + 1, startedAt: '1', namespace: '', bootId: '', beatMs: 0 };
    const readers = join(place.folder, 'jobs', 'readers');
    writeFileSync(readers, `${JSON.stringify(reader)}\n`.repeat(2));
    await killed(await ready(['0']));
    expect(asideFiles()).toEqual([]);
    writeFileSync(readers, `${JSON.stringify(reader)}\n`.repeat(3));
    const next = await ready(['1']);
    expect(asideFiles()).toHaveLength(1);
    await stopped(next);
  });

  it('a folder that is removed while the service runs is made again, with every open job in it', async () => {
    const child = await ready(['3']);
    rmSync(join(place.folder, 'jobs'), { recursive: true });
    await expect.poll(() => existsSync(dataFile()), { timeout: 10_000 }).toBe(true);
    await child.line('was replaced; starting with the new one');
    await killed(child);
    await ready(['0']);
    await expect.poll(accepted).toEqual(idsOf(child, 3));
  });
});

/** What is damaged may end those who read it, with a signal: three of them at the most. */
async function readyAtLast(args: string[]): ReturnType<typeof ready> {
  for (let deaths = 0; ; deaths += 1) {
    try {
      return await ready(args);
    } catch (error) {
      if (deaths === 3) throw error;
    }
  }
}

function overwrite(path: string, from: number, to: number): void {
  const used = usedBytes(path);
  overwriteAt(path, Math.floor(used * from), Buffer.alloc(Math.floor(used * (to - from)), 0xa5));
}

/** Up to its last byte that is no zero: the store makes room ahead. */
function usedBytes(path: string): number {
  return readFileSync(path).findLastIndex((byte) => byte !== 0) + 1;
}

function overwriteAt(path: string, at: number, bytes: Buffer): void {
  chmodSync(path, 0o600);
  writeSync(openSync(path, 'r+'), bytes, 0, bytes.length, at);
}
