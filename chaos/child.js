// @ts-check
import { spawn } from 'node:child_process';
import { Watchers } from './watchers.js';

/** How a process ended: by itself with a code, or by a signal. @typedef {number | NodeJS.Signals} Ending */

const MOST_WORDS = 200;
const MOST_LENGTH = 300;

/** Those that live: none of them must outlive the run. @type {Set<import('node:child_process').ChildProcess>} */
const living = new Set();
process.once('exit', () => {
  for (const child of living) child.kill('SIGKILL');
});

/** A process of the run, seen from outside: its pipe, what it says, its reports of the last resort, and its end. */
export class Child {
  /** @type {string[]} what it said on stderr, in part */
  words = [];
  /** @type {Promise<Ending>} resolves when everything it wrote was read */
  ended;
  #process;
  #gone = false;
  #watchers = new Watchers();
  /** @type {Map<string, number>} how often it told each fact */
  #told = new Map();
  #onLine;
  #onEnvelope;

  /**
   * Started with these variables and no others.
   * @param {readonly string[]} command
   * @param {Record<string, string>} env
   * @param {{ onLine?: (line: string) => void, onEnvelope?: (envelope: any) => void }} [listener]
   */
  constructor([file, ...args], env, { onLine = () => {}, onEnvelope = () => {} } = {}) {
    this.#onLine = onLine;
    this.#onEnvelope = onEnvelope;
    this.#process = spawn(/** @type {string} */ (file), args, {
      env,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    const [, stdout, stderr, pipe] = this.#process.stdio;
    readLines(stdout, (line) => this.#hear(line));
    readLines(stderr, (line) => this.#hear(line));
    readLines(pipe, (line) => this.#note(line));
    living.add(this.#process);
    this.ended = new Promise((resolve, reject) => {
      this.#process.once('error', reject);
      this.#process.once('close', (code, signal) => {
        living.delete(this.#process);
        this.#gone = true;
        this.#watchers.look();
        resolve(/** @type {Ending} */ (signal ?? code));
      });
    });
  }

  /** @param {NodeJS.Signals} signal */
  signal(signal) {
    this.#process.kill(signal);
  }

  /** How often it told that. @param {string} fact */
  count(fact) {
    return this.#told.get(fact) ?? 0;
  }

  /** Resolves with `true` when it has told that so often, with `false` when it ended without. @param {string} fact */
  told(fact, count = 1) {
    return this.until(() => this.count(fact) >= count);
  }

  /** The same for words on stderr. @param {string} text */
  said(text) {
    return this.until(() => this.words.some((line) => line.includes(text)));
  }

  /** The same for anything that depends on what it tells and says. @param {() => boolean} test @param {number} [limitMs] */
  until(test, limitMs) {
    return this.#watchers.until(test, { gone: () => this.#gone, ...(limitMs && { limitMs }) });
  }

  /** What `until` looks at has changed elsewhere. */
  look() {
    this.#watchers.look();
  }

  /** @param {string} line */
  #note(line) {
    const fact = line.slice(0, 1);
    this.#told.set(fact, this.count(fact) + 1);
    this.#onLine(line);
    this.#watchers.look();
  }

  /** @param {string} line */
  #hear(line) {
    const envelope = readEnvelope(line);
    if (envelope !== undefined) this.#onEnvelope(envelope);
    else if (this.words.length < MOST_WORDS) this.words.push(line.slice(0, MOST_LENGTH));
    this.#watchers.look();
  }
}

/** @param {string} line */
function readEnvelope(line) {
  if (!line.startsWith('{"specversion"')) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    // Cut off by the death of its writer.
    return undefined;
  }
}

/** @param {any} stream @param {(line: string) => void} onLine */
function readLines(stream, onLine) {
  let rest = '';
  stream.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
    const lines = (rest + text).split('\n');
    rest = /** @type {string} */ (lines.pop());
    for (const line of lines) onLine(line);
  });
  // A killed process may take its end of the pipe with it.
  stream.on('error', () => {});
}
