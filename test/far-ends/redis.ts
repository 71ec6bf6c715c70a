import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { deadPort } from './silent-server.js';

const STARTING_MS = 15_000;

/** A real Redis on 127.0.0.1 that keeps nothing on disk. */
export interface RedisServer {
  readonly port: number;
  /** What BullMQ takes as its `connection`. */
  readonly connection: { readonly host: string; readonly port: number; readonly maxRetriesPerRequest: null };
  /** It holds its connections and answers nobody. */
  freeze(): void;
  thaw(): void;
  stop(): Promise<void>;
}

/** Where and how a {@link RedisServer} runs. */
export interface RedisServerOptions {
  /** @default a free one */
  readonly port?: number;
  /** Kept when it stops. @default one of its own */
  readonly folder?: string;
  /** More of the command line, after ours: the last one counts. */
  readonly args?: readonly string[];
}

/**
 * Starts one.
 * @throws when `redis-server` is missing and cannot be installed; the message says how to.
 */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  ensureRedis();
  const port = options.port ?? (await deadPort());
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'shutdown-bus-redis-'));
  const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder];
  const args = [...place, '--save', '', '--appendonly', 'no', ...(options.args ?? [])];
  const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  // A test run that dies must not leave a Redis behind.
  const kill = () => void child.kill('SIGKILL');
  process.once('exit', kill);
  const stop = async () => {
    process.removeListener('exit', kill);
    kill();
    await exited;
    if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
  };
  try {
    await untilReady(child);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    port,
    connection: { host: '127.0.0.1', port, maxRetriesPerRequest: null },
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    stop,
  };
}

/** Starts so many that share the slots of one cluster: what belongs to several slots at once, they refuse. */
export async function startRedisCluster(count = 1): Promise<readonly RedisServer[]> {
  const args = ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'];
  const servers: RedisServer[] = [];
  // A node listens to the others on another port, the highest number of all would not do.
  for (let node = 0; node < count; node += 1)
    servers.push(await startRedis({ args: [...args, '--cluster-port', String(await deadPort())] }));
  const clients = servers.map(({ port }) => new Redis(port, '127.0.0.1'));
  try {
    for (const [node, client] of clients.entries()) {
      const [from, to] = [node, node + 1].map((at) => Math.floor((at * 16_384) / count)) as [number, number];
      await client.cluster('ADDSLOTSRANGE', from, to - 1);
      const [first] = clients as [Redis];
      const info = String(await client.call('CONFIG', 'GET', 'cluster-port')).split(',');
      const { port } = servers[node] as RedisServer;
      await first.call('CLUSTER', 'MEET', '127.0.0.1', String(port), info[1] as string);
    }
    for (const client of clients) await untilWhole(client, count);
  } finally {
    for (const client of clients) client.disconnect();
  }
  return servers;
}

async function untilWhole(client: Redis, count: number): Promise<void> {
  for (;;) {
    const info = String(await client.cluster('INFO'));
    if (info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${count}`)) return;
    await sleep(50);
  }
}

function untilReady(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    const fail = (why: string) => reject(new Error(`redis-server ${why}:\n${log.slice(-2000)}`));
    const late = setTimeout(() => fail(`was not ready in ${STARTING_MS} ms`), STARTING_MS);
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        log += text;
        if (!log.includes('Ready to accept connections')) return;
        clearTimeout(late);
        resolve();
      });
    }
    child.once('exit', (code) => {
      clearTimeout(late);
      fail(`exited with ${code}`);
    });
  });
}

/**
 * Makes sure that there is a `redis-server`: as root it is installed where it is missing.
 * @throws when that does not work; the message says how to.
 */
export function ensureRedis(): void {
  if (runs('redis-server', ['--version'])) return;
  const asRoot = process.getuid?.() === 0;
  const install = ['install', '-y', '--no-install-recommends', 'redis-server'];
  if (
    asRoot &&
    runs('apt-get', ['update']) &&
    runs('apt-get', install) &&
    runs('redis-server', ['--version'])
  )
    return;
  throw new Error(
    'these tests need redis-server on the PATH: apt-get install redis-server, brew install redis, or the like',
  );
}

function runs(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
