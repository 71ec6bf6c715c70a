// @ts-check
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';

/** @type {Set<Group>} */
const alive = new Set();
process.once('exit', () => {
  for (const group of alive) group.end();
});

/** A process and all it starts, in a group of their own, so that nothing is left of them. */
export class Group {
  process;
  #output = '';
  #exited;
  #said = new EventEmitter();

  /** @param {readonly string[]} command @param {NodeJS.ProcessEnv} env beside this process's own */
  constructor([program = '', ...args], env) {
    this.process = spawn(program, args, {
      detached: true,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    alive.add(this);
    for (const stream of [this.process.stdout, this.process.stderr])
      stream.on('data', (chunk) => {
        // The end is enough, for the line that is waited for and for what went wrong.
        this.#output = (this.#output + chunk).slice(-4096);
        this.#said.emit('output');
      });
    this.#exited = once(this.process, 'exit');
    this.#exited.catch(() => {});
  }

  /** Resolves when the process says what matches. What it said before does not count. @param {RegExp} pattern @returns {Promise<void>} */
  says(pattern) {
    this.#output = '';
    return new Promise((resolve, reject) => {
      const look = () => {
        if (!pattern.test(this.#output)) return;
        this.#said.off('output', look);
        resolve();
      };
      this.#said.on('output', look);
      this.#exited.then(() => reject(new Error(`it ended: ${this.#output}`)), reject);
    });
  }

  get isRunning() {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  get output() {
    return this.#output;
  }

  /** Sends SIGTERM and waits for the process; SIGKILL for all when `mostMs` are over. @param {number} mostMs @returns {Promise<boolean>} whether it ended by itself */
  async terminate(mostMs) {
    const force = setTimeout(() => this.end(), mostMs);
    this.process.kill('SIGTERM');
    const [, signal] = await this.#exited;
    clearTimeout(force);
    // As a container or systemd does when the first process is gone.
    this.end();
    return signal !== 'SIGKILL';
  }

  /** Kills all that is left of it. */
  end() {
    if (!alive.delete(this) || this.process.pid === undefined) return;
    try {
      process.kill(-this.process.pid, 'SIGKILL');
    } catch {
      // Nobody is left.
    }
  }
}
