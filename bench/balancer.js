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
 * A service behind the balancer, and where it is asked for its health: without a path, whether it takes connections.
 * @typedef {{ port: number, healthPort: number, healthPath?: string }} Backend
 */

const INSTALL = 'install it (Debian: apt-get install haproxy), or name it in HAPROXY';

/**
 * A real HAProxy: health checks every 200 ms. Without `retries` nothing is tried twice: what a service drops, its clients see.
 * With them, a connection that could not be made is, the last time to another service; a request that was sent never is.
 */
export class Balancer {
  #process;
  #folder;
  #stderr = '';

  #end = () => this.close();

  /** @param {number} port @param {readonly Backend[]} backends @param {{ retries?: number }} [options] */
  constructor(port, backends, { retries = 0 } = {}) {
    this.#folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-haproxy-'));
    const file = join(this.#folder, 'haproxy.cfg');
    writeFileSync(file, configOf(port, backends, this.#socket, retries));
    this.#process = spawn(binary(), ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process.stderr.on('data', (chunk) => {
      this.#stderr += chunk;
    });
    this.#process.once('error', (error) => {
      this.#stderr += error.message;
    });
    process.once('exit', this.#end);
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
      if (line?.split(',')[17] === 'UP' && /L[47]OK/.test(line)) return;
    }
    throw new Error(`HAProxy does not find ${name} healthy: ${this.#stderr}`);
  }

  close() {
    process.off('exit', this.#end);
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

/** @param {number} port @param {readonly Backend[]} backends @param {string} socket @param {number} retries */
function configOf(port, backends, socket, retries) {
  const servers = backends.map(
    ({ port, healthPort }, index) =>
      `  server server${index} 127.0.0.1:${port} check port ${healthPort} inter 200 fall 3 rise 1`,
  );
  const path = backends[0]?.healthPath;
  const check = path
    ? ['option httpchk', `http-check send meth GET uri ${path} ver HTTP/1.1 hdr Host bench`]
    : ['option tcp-check'];
  return `global
  stats socket ${socket} mode 600
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout check 1s
  retries ${retries}
  ${retries > 0 ? 'option redispatch' : 'no option redispatch'}
frontend clients
  bind 127.0.0.1:${port}
  default_backend services
backend services
  balance roundrobin
${check.map((line) => `  ${line}`).join('\n')}
${servers.join('\n')}
`;
}
