// @ts-check
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { now } from './ledger.js';

/** @typedef {import('./ledger.js').Entry} Entry */

/** One process of the demo, seen from outside: its pid, what it wrote to its ledger, and its end. */
export class Actor {
  /** @type {Entry[]} everything it has written, in order */
  ledger = [];
  /** @type {string[]} what it said on stderr */
  words = [];
  /** @type {Set<() => void>} */
  #watchers = new Set();
  #ended = false;

  /**
   * Starts `node <file>` with these environment variables and no others, so that nothing of the caller's shell
   * (a proxy, another SHUTDOWN_ variable) changes the demo.
   * @param {string} file beside this one
   * @param {Record<string, string>} env
   */
  constructor(file, env) {
    const path = fileURLToPath(new URL(file, import.meta.url));
    this.child = spawn(process.execPath, [path], { env, stdio: 'pipe' });
    this.pid = /** @type {number} */ (this.child.pid);
    createInterface({ input: this.child.stdout }).on('line', (line) => this.#enter(JSON.parse(line)));
    createInterface({ input: this.child.stderr }).on('line', (line) => this.words.push(line));
    /** @type {Promise<{ code: number | null, signal: NodeJS.Signals | null, at: number }>} */
    this.gone = new Promise((resolve) => {
      let at = 0;
      this.child.once('exit', () => {
        at = now();
      });
      // 'close' comes when the last line of its ledger was read.
      this.child.once('close', (code, signal) => {
        this.#ended = true;
        resolve({ code, signal, at });
        this.#wake();
      });
    });
    process.once('exit', () => this.child.kill('SIGKILL'));
  }

  /**
   * The entries of one kind.
   * @param {string} event
   */
  all(event) {
    return this.ledger.filter((entry) => entry.event === event);
  }

  /**
   * Resolves when its ledger shows `count` entries of this kind, with the last of them; rejects when it ends before.
   * @param {string} event
   * @returns {Promise<Entry>}
   */
  async until(event, count = 1) {
    for (;;) {
      const entry = this.all(event)[count - 1];
      if (entry) return entry;
      if (this.#ended) throw this.#endedEarly(event);
      await new Promise((resolve) => this.#watchers.add(() => resolve(undefined)));
    }
  }

  /**
   * Calls `listener` for every entry of this kind from now on.
   * @param {string} event
   * @param {(entry: Entry) => void} listener
   */
  on(event, listener) {
    let seen = this.ledger.length;
    const look = () => {
      for (const entry of this.ledger.slice(seen)) if (entry.event === event) listener(entry);
      seen = this.ledger.length;
      this.#watchers.add(look);
    };
    this.#watchers.add(look);
  }

  /** @param {Entry} entry */
  #enter(entry) {
    this.ledger.push(entry);
    this.#wake();
  }

  #wake() {
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    for (const watcher of watchers) watcher();
  }

  /** @param {string} event */
  #endedEarly(event) {
    const said = this.words.map((line) => `\n  ${line}`).join('');
    const how = this.child.signalCode ?? `exit code ${this.child.exitCode}`;
    return new Error(`${this.child.spawnargs.at(-1)} ended with ${how} before "${event}"${said}`);
  }
}
