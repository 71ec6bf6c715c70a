import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type HttpFarEnd, startFarEnd } from '../far-ends/http-server.js';
import { type Child, envelopesIn, start } from './child.js';

const FIXTURE = 'keeps-jobs.js';
let folder: string;
let env: Record<string, string>;
let farEnd: HttpFarEnd;
let status: number;
const children: Child[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-lmdb-'));
  status = 204;
  farEnd = await startFarEnd((response) => void response.writeHead(status).end());
  env = {
    SHUTDOWN_STORE: `lmdb:${join(folder, 'jobs')}`,
    // Nearly all of it for the reports: a busy machine needs it.
    SHUTDOWN_BUDGET_MS: '4000',
    SHUTDOWN_RESERVE_MS: '3000',
    SHUTDOWN_WEBHOOK_URL: farEnd.origin,
  };
});

afterEach(async () => {
  for (const child of children.splice(0)) if (child.process.exitCode === null) child.kill('SIGKILL');
  await farEnd.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('jobs of a process that is killed', () => {
  it('A01: SIGKILL: the next start reports each one, with its last checkpoint, under the id the dead would have used', async () => {
    const dead = await ready(['3', 'checkpoints']);
    await killed(dead);
    expect(reports()).toEqual([]);
    const next = await ready(['0']);
    await expect.poll(() => reports().length).toBe(3);
    for (const n of [1, 2, 3]) {
      expect(reports()).toContainEqual(
        expect.objectContaining({
          id: `${dead.instanceId}/r${n}`,
          data: expect.objectContaining({
            outcome: 'lost',
            progress: { rows: n },
            payload: expect.objectContaining({ page: n }),
            pid: dead.process.pid,
            detail: expect.stringMatching(/ended without a word, last seen .* MiB resident$/),
          }),
        }),
      );
    }
    await stopped(next);
    const third = await ready(['0']);
    await stopped(third);
    expect(reports()).toHaveLength(3);
  });

  it('negative twin: without the store nobody ever hears of them', async () => {
    env.SHUTDOWN_STORE = 'memory';
    await killed(await ready(['3']));
    await stopped(await ready(['0']));
    expect(reports()).toEqual([]);
  });

  it('are reported by a process that runs on the same path already, and those of the living are not', async () => {
    const peer = await ready(['2']);
    const dead = await ready(['3']);
    await killed(dead);
    await expect.poll(() => reports().length, { timeout: 10_000 }).toBe(3);
    await stopped(peer);
    expect(ids()).toEqual([...idsOf(dead, 3), ...idsOf(peer, 2)].sort());
  });

  it('four processes on one path, killed together, two survivors: each job exactly once', async () => {
    const dead = await Promise.all([1, 2, 3, 4].map(() => ready(['500'])));
    await Promise.all(dead.map(killed));
    const survivors = await Promise.all([ready(['0']), ready(['0'])]);
    await expect.poll(() => reports().length, { timeout: 15_000 }).toBe(2000);
    await Promise.all(survivors.map(stopped));
    expect(ids()).toEqual(dead.flatMap((one) => idsOf(one, 500)).sort());
  });

  it.each([
    ['process.exit by the application', ['2', 'exits'], undefined, 1],
    ['a second Ctrl-C', ['2', 'hangs'], ['SIGINT', 'SIGINT'], 130],
  ] as const)(
    '%s: they stay in the store, and go out at the next start',
    async (_way, args, signals, code) => {
      status = 503;
      const child = await ready([...args]);
      for (const signal of signals ?? []) {
        child.kill(signal);
        await child.line(signal === signals?.[0] && child.process.exitCode === null ? 'stopping' : '');
      }
      const ended = await child.ended;
      expect(ended.code).toBe(code);
      expect(envelopesIn(ended.stderr)).toEqual([]);
      expect(ended.stderr).toContain('2 open jobs not accepted by every notifier stay in the store lmdb');
      status = 204;
      await ready(['0']);
      await expect.poll(accepted).toEqual(idsOf(child, 2));
    },
  );
});

describe('jobs of another container on the same folder', () => {
  // Its processes cannot be seen from here: all that tells of them is the heartbeat in the file.
  const contained = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];

  it('are left alone while its heart beats, and reported 10 s after it stopped', async () => {
    const container = await ready(['2'], contained);
    const survivor = await ready(['0']);
    // Without heartbeats it would be given up by now.
    await new Promise((resolve) => setTimeout(resolve, 12_000));
    expect(reports()).toEqual([]);
    await killed(container);
    await expect.poll(() => ids(), { timeout: 20_000 }).toEqual(idsOf(container, 2));
    await stopped(survivor);
  });
});

describe('reports that nobody took before the deadline', () => {
  it('A27: stay in the store, go out at the next start with the reason of the stop, and stderr has none', async () => {
    status = 503;
    const child = await ready(['2']);
    child.kill('SIGTERM');
    const { code, stderr } = await child.ended;
    expect([code, envelopesIn(stderr)]).toEqual([1, []]);
    const before = reports().length;
    status = 204;
    await ready(['0']);
    await expect.poll(() => reports().length).toBe(before + 2);
    const late = reports().slice(before);
    expect(late.map(({ id }) => id).sort()).toEqual(idsOf(child, 2));
    expect(late.map(({ data }) => [data.outcome, data.reason])).toEqual([
      ['interrupted', 'SIGTERM'],
      ['interrupted', 'SIGTERM'],
    ]);
  });

  it('A27, negative twin: with memory only they are on stderr, one line each, and the exit code says so', async () => {
    env.SHUTDOWN_STORE = 'memory';
    status = 503;
    const child = await ready(['2']);
    child.kill('SIGTERM');
    const { code, stderr } = await child.ended;
    expect(code).toBe(1);
    expect(envelopesIn(stderr).map(({ id }) => id)).toEqual(idsOf(child, 2));
  });
});

describe('an event loop that is blocked during the shutdown', () => {
  it('a thread delivers, and the store hears of it: the next start reports nothing again', async () => {
    const child = await ready(['20', 'blocks']);
    child.kill('SIGTERM');
    const { signal, stderr } = await child.ended;
    expect([signal, ids(), envelopesIn(stderr)]).toEqual(['SIGKILL', idsOf(child, 20), []]);
    await stopped(await ready(['0']));
    expect(reports()).toHaveLength(20);
  });

  it('nobody takes the reports: stderr has none, and the next start delivers them', async () => {
    status = 503;
    const child = await ready(['20', 'blocks']);
    child.kill('SIGTERM');
    const { signal, stderr } = await child.ended;
    expect([signal, envelopesIn(stderr)]).toEqual(['SIGKILL', []]);
    expect(stderr).toContain('0 open jobs follow, 20 stay in the store');
    const before = reports().length;
    status = 204;
    await ready(['0']);
    await expect.poll(() => reports().length).toBe(before + 20);
  });

  it('negative twin: with memory only they are on stderr', async () => {
    status = 503;
    env.SHUTDOWN_STORE = 'memory';
    const child = await ready(['20', 'blocks']);
    child.kill('SIGTERM');
    const { stderr } = await child.ended;
    expect(envelopesIn(stderr)).toHaveLength(20);
  });
});

describe('a job that kills whoever reports it', () => {
  it('is set aside after three deaths, loudly, and all the others are reported', async () => {
    const dead = await ready(['60']);
    await killed(dead);
    const deaths: string[] = [];
    for (let start = 0; start < 8 && accepted().length < 59; start += 1) {
      const reporter = begin('dies-of-poison.js', ['r30']);
      const { signal, stderr } = await reporter.ended;
      if (signal === 'SIGKILL') deaths.push(stderr);
      else expect(stderr).toMatch(new RegExp(`${dead.instanceId}/r30 is set aside .*died of it, 3 times`));
    }
    expect(deaths).toHaveLength(3);
    expect(accepted()).toEqual(idsOf(dead, 60).filter((id) => !id.endsWith('/r30')));
  });
});

describe('what is in the folder', () => {
  it('is readable by its owner only', async () => {
    await killed(await ready(['1']));
    const jobs = join(folder, 'jobs');
    expect((statSync(jobs).mode & 0o777).toString(8)).toBe('700');
    for (const name of readdirSync(jobs))
      expect([name, (statSync(join(jobs, name)).mode & 0o777).toString(8)]).toEqual([name, '600']);
  });

  it('does not grow: a hundred thousand finished jobs leave no trace', async () => {
    env.PAYLOAD_BYTES = '1000';
    await killed(await ready(['100000', 'completes']));
    expect(statSync(dataFile()).size).toBeLessThan(4_000_000);
  }, 120_000);

  it('has nothing that is redacted', async () => {
    env.SHUTDOWN_REDACT = 'card';
    await killed(await ready(['5']));
    expect(readFileSync(dataFile(), 'latin1')).not.toContain('hunter2');
  });

  it('has no payload in the clear when there is a key, and whoever has the key reads it', async () => {
    env.SHUTDOWN_STORE_KEY = `2026a:${Buffer.alloc(32, 7).toString('base64')}`;
    const dead = await ready(['2', 'checkpoints']);
    await killed(dead);
    const written = readFileSync(dataFile(), 'latin1');
    expect(written).not.toMatch(/hunter2|"rows"/);
    expect(written).toContain('"sealed":"2026a.');
    env.SHUTDOWN_STORE_KEY = `2026b:${Buffer.alloc(32, 8).toString('base64')},${env.SHUTDOWN_STORE_KEY}`;
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
      const next = await ready(['3']);
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
    mkdirSync(join(folder, 'jobs'));
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
    const readers = join(folder, 'jobs', 'readers');
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
    rmSync(join(folder, 'jobs'), { recursive: true });
    await expect.poll(() => existsSync(dataFile()), { timeout: 10_000 }).toBe(true);
    await child.line('was replaced; starting with the new one');
    await killed(child);
    await ready(['0']);
    await expect.poll(accepted).toEqual(idsOf(child, 3));
  });
});

describe('a disk that cannot be written', () => {
  const mounted = (options: string) => {
    // In a mount namespace of its own, which ends with the process.
    const script = `mount -t tmpfs -o ${options} tmpfs "$0" && exec "$@"`;
    return ['unshare', '--mount', 'sh', '-c', script, folder];
  };

  it('full: the service goes on degraded, says so loudly and in its readiness, and reports its jobs at the end', async () => {
    env.PAYLOAD_BYTES = '10000';
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
    env.ORDERS = orders;
    env.PAYLOAD_BYTES = '10000';
    const ballast = join(folder, 'ballast');
    const script = `mount -t tmpfs -o size=4m tmpfs "$0" && head -c 3500000 /dev/zero > ${ballast} && exec "$@"`;
    const child = await ready(
      ['100', 'follows', 'at once'],
      ['unshare', '--mount', 'sh', '-c', script, folder],
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
});

/** Starts the fixture and waits until its jobs have begun. */
async function ready(args: string[], through: string[] = []) {
  const child = begin(FIXTURE, args, through);
  await child.line('ready');
  const { stdout } = child.texts();
  return { ...child, instanceId: /ready (\w+)/.exec(stdout)?.[1] ?? '' };
}

type Ready = Awaited<ReturnType<typeof ready>>;

function begin(fixture: string, args: string[], through: string[] = []) {
  const child = start(fixture, { args, env, through });
  children.push(child);
  return child;
}

async function killed(child: Ready): Promise<void> {
  child.kill('SIGKILL');
  await child.ended;
}

async function stopped(child: Ready): Promise<void> {
  child.kill('SIGTERM');
  expect((await child.ended).code).toBe(0);
}

async function readiness(child: Ready): Promise<[number, string]> {
  await child.line('port ');
  const port = /port (\d+)/.exec(child.texts().stdout)?.[1];
  const response = await fetch(`http://127.0.0.1:${port}/ready`);
  return [response.status, await response.text()];
}

interface Report {
  readonly id: string;
  readonly data: Record<string, unknown>;
}

/** Every envelope that came, whatever was answered. */
function reports(): Report[] {
  return farEnd.requests.flatMap(({ body }) => JSON.parse(body) as Report[]);
}

function ids(): string[] {
  return reports()
    .map(({ id }) => id)
    .sort();
}

/** Each id once. */
function accepted(): string[] {
  return [...new Set(ids())];
}

function idsOf({ instanceId }: Ready, count: number): string[] {
  return Array.from({ length: count }, (_, n) => `${instanceId}/r${n + 1}`).sort();
}

function dataFile(): string {
  return join(folder, 'jobs', 'jobs.mdb');
}

function asideFiles(): string[] {
  return readdirSync(join(folder, 'jobs')).filter((name) => name.includes('.aside-'));
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
