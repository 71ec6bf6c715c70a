// @ts-check
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

/**
 * A service behind the balancer, and where it is asked for its health.
 * @typedef {{ port: number, healthPort: number, healthPath: string }} Backend
 */

const INSTALL = 'install it (Debian: apt-get install haproxy), or name it in HAPROXY';

/** A real HAProxy: health checks every 200 ms, no retries, no redispatch. What a service drops, its clients see. */
export class Balancer {
  #process;
  #folder;
  #stderr = '';

  /** @param {number} port @param {readonly Backend[]} backends */
  constructor(port, backends) {
    this.#folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-haproxy-'));
    const file = join(this.#folder, 'haproxy.cfg');
    writeFileSync(file, configOf(port, backends, this.#socket));
    this.#process = spawn(binary(), ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process.stderr.on('data', (chunk) => {
      this.#stderr += chunk;
    });
    this.#process.once('error', (error) => {
      this.#stderr += error.message;
    });
  }

  get #socket() {
    return join(this.#folder, 'admin.sock');
  }

  /** Resolves when the balancer sends requests to this backend. @param {number} index @param {number} [mostMs] */
  async untilUp(index, mostMs = 10_000) {
    const name = `server${index}`;
    for (const startedAt = performance.now(); performance.now() - startedAt < mostMs; await sleep(50)) {
      if (this.#process.exitCode !== null) throw new Error(`HAProxy ended: ${this.#stderr}`);
      const table = await this.#ask('show stat').catch(() => '');
      const line = table.split('\n').find((row) => row.split(',')[1] === name);
      // Before its first check a server counts as up.
      if (line?.split(',')[17] === 'UP' && /L7OK/.test(line)) return;
    }
    throw new Error(`HAProxy does not find ${name} healthy: ${this.#stderr}`);
  }

  close() {
    this.#process.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** @param {string} command */
  async #ask(command) {
    const socket = connect(this.#socket);
    socket.end(`${command}\n`);
    return text(socket);
  }
}

/** @returns the version, as HAProxy says it. @throws when there is none, saying what to do */
export async function balancerVersion() {
  try {
    const { stdout } = await promisify(execFile)(binary(), ['-v']);
    return stdout.split('\n')[0]?.replace(/ - .*/, '') ?? '';
  } catch (error) {
    const cause = /** @type {Error} */ (error);
    throw new Error(`no HAProxy at "${binary()}": ${INSTALL}`, { cause });
  }
}

function binary() {
  return process.env.HAPROXY ?? 'haproxy';
}

/** @param {number} port @param {readonly Backend[]} backends @param {string} socket */
function configOf(port, backends, socket) {
  const servers = backends.map(
    ({ port, healthPort }, index) =>
      `  server server${index} 127.0.0.1:${port} check port ${healthPort} inter 200 fall 3 rise 1`,
  );
  return `global
  stats socket ${socket} mode 600
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout check 1s
  retries 0
frontend clients
  bind 127.0.0.1:${port}
  default_backend services
backend services
  balance roundrobin
  option httpchk
  http-check send meth GET uri ${backends[0]?.healthPath} ver HTTP/1.1 hdr Host bench
${servers.join('\n')}
`;
}
