import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../far-ends/redis.js';
import { type Child, start } from './child.js';
import { runs } from './runs.js';

const PROCESSES = 4;
const KILLS = runs(20);
/** Several times what a takeover takes: a lease, a look, a busy machine. */
const PATIENCE_MS = 20_000;

const undo: (() => unknown)[] = [];
const children: Child[] = [];
let redis: RedisServer;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-owners-'));
});

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill('SIGKILL');
    await child.ended;
  }
  for (const step of undo.splice(0)) await step();
  rmSync(folder, { recursive: true, force: true });
});

afterAll(() => redis?.stop());

interface Plan {
  readonly guarded?: boolean;
  readonly graceMs?: number;
  readonly child?: boolean;
  readonly leaseMs?: number;
}

const stores = {
  async lmdb() {
    return { kind: 'lmdb', options: { path: join(folder, 'jobs') } };
  },
  async redis(leaseMs = 1000) {
    redis ??= await startRedis();
    return { kind: 'redis', options: { url: `redis://127.0.0.1:${redis.port}`, leaseMs, prefix: folder } };
  },
};

type Kind = keyof typeof stores;
const KINDS = Object.keys(stores) as Kind[];

/** Starts so many at once. */
async function startAll(kind: Kind, plan: Plan = {}, count = PROCESSES): Promise<void> {
  const store = await stores[kind](plan.leaseMs);
  const PLAN = JSON.stringify({ ...store, ledger: join(folder, 'ledger'), ...plan });
  for (let n = 0; n < count; n += 1) children.push(start('owns.js', { env: { PLAN } }));
}

/** What the processes noted, in order. */
function ledger(): { readonly what: string; readonly pid: number }[] {
  const path = join(folder, 'ledger');
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
  return lines.map((line) => {
    const [what = '', pid] = line.split(' ');
    return { what, pid: Number(pid) };
  });
}

function noted(what: string): number[] {
  return ledger()
    .filter((line) => line.what === what)
    .map(({ pid }) => pid);
}

/** Waits until something was noted so often. */
async function until(what: string, count: number): Promise<void> {
  await expect.poll(() => noted(what).length, { timeout: PATIENCE_MS, interval: 20 }).toBe(count);
}

function owner(): Child {
  const pid = noted('begin').at(-1);
  return children.find((child) => child.process.pid === pid) as Child;
}

describe('several processes that ask for one name at once', () => {
  it.each(KINDS)(
    'D25: %s: one owns it, and whenever the owner is killed exactly one other',
    async (kind) => {
      await startAll(kind);
      await until('begin', 1);
      for (let kills = 1; kills <= KILLS; kills += 1) {
        owner().kill('SIGKILL');
        await until('begin', kills + 1);
        await startAll(kind, {}, 1);
      }
      // Time for one too many.
      await sleep(2500);
      expect(noted('begin')).toHaveLength(KILLS + 1);
      expect(new Set(noted('begin')).size).toBe(KILLS + 1);
      expect(noted('overlap')).toEqual([]);
    },
    300_000,
  );

  it.each(KINDS)(
    'D25: %s: when the owner ends in order, the next one takes over at its next look, long before a lease is over',
    async (kind) => {
      await startAll(kind, { leaseMs: 8000 });
      await until('begin', 1);
      for (let ends = 1; ends < PROCESSES; ends += 1) {
        owner().kill('SIGTERM');
        await until('end', ends);
        const startedMs = performance.now();
        await until('begin', ends + 1);
        expect(performance.now() - startedMs).toBeLessThan(5000);
      }
      expect(noted('overlap')).toEqual([]);
    },
    60_000,
  );

  it.each(KINDS)('D25: %s: negative twin: without asking they all run at the same time', async (kind) => {
    await startAll(kind, { guarded: false });
    await until('begin', PROCESSES);
    await expect.poll(() => noted('overlap').length).toBeGreaterThanOrEqual(PROCESSES - 1);
  });
});

describe('the daemon of an owner that is killed', () => {
  /** Kills the owner, and waits for the daemon of the next one. */
  async function succession(plan: Plan): Promise<readonly string[]> {
    await startAll('lmdb', { child: true, ...plan }, 2);
    await until('child-begin', 1);
    owner().kill('SIGKILL');
    await until('child-begin', 2);
    await until('child-end', 1);
    return ledger()
      .map(({ what }) => what)
      .filter((what) => what.startsWith('child'));
  }

  it('D25: has ended before the next owner begins: it waits for it', async () => {
    const { graceMs } = (await import('../../children/index.js')).OWNER_DEFAULTS;
    expect(await succession({ graceMs })).toEqual(['child-begin', 'child-end', 'child-begin']);
  }, 60_000);

  it('D25: negative twin: without that there are two for a while', async () => {
    expect(await succession({ graceMs: 0 })).toEqual(['child-begin', 'child-begin', 'child-end']);
  }, 60_000);

  it('D25: of one that ends in order has ended, too, and nobody waits longer than for that', async () => {
    await startAll('lmdb', { child: true, graceMs: 30_000 }, 2);
    await until('child-begin', 1);
    owner().kill('SIGTERM');
    await until('child-begin', 2);
    expect(ledger().map(({ what }) => what)).toEqual([
      'begin',
      'child-begin',
      'child-end',
      'end',
      'begin',
      'child-begin',
    ]);
  }, 60_000);
});

describe('an owner that loses its Redis', () => {
  it('D25: is told, and ends its daemon, before another one begins', async () => {
    // Half of it is enough for the daemon to end in.
    await startAll('redis', { child: true, leaseMs: 6000 }, 2);
    await until('child-begin', 1);
    redis.freeze();
    undo.push(() => redis.thaw());
    await until('end', 1);
    redis.thaw();
    await until('child-begin', 2);
    expect(ledger().map(({ what }) => what)).toEqual([
      'begin',
      'child-begin',
      'end',
      'child-end',
      'begin',
      'child-begin',
    ]);
  }, 60_000);
});
