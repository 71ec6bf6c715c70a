// @ts-check
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/**
 * A program in children/, started; it says what it has to say in lines of JSON on stdout.
 * @typedef {object} Program
 * @property {import('node:child_process').ChildProcess} process
 * @property {() => Promise<any>} next its next line; rejects when it ends without one
 * @property {(message: object) => void} tell gives it a line of JSON on stdin
 */

/**
 * Starts `children/<file>` in a fresh process.
 * @param {string} file
 * @param {readonly string[]} [args]
 * @param {readonly string[]} [execArgv] flags for node itself
 * @param {number} [processor] the only one it may run on, where the machine can do that
 * @param {NodeJS.ProcessEnv} [env] beside this process's own
 * @returns {Program}
 */
export function startProgram(file, args = [], execArgv = [], processor = undefined, env = {}) {
  const path = fileURLToPath(new URL(`children/${file}`, import.meta.url));
  const command = [process.execPath, ...execArgv, path, ...args];
  if (processor !== undefined && canPin()) command.unshift('taskset', '-c', String(processor));
  const child = spawn(/** @type {string} */ (command[0]), command.slice(1), {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  // Told something after its end: its next line says so.
  child.stdin.on('error', () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${file} ended without an answer\n${errors}`);
    return JSON.parse(value);
  };
  const tell = (/** @type {object} */ message) => void child.stdin.write(`${JSON.stringify(message)}\n`);
  return { process: child, next, tell };
}

/** @type {boolean | undefined} */
let pins;

/** Whether processes can be kept on processors of their own. */
function canPin() {
  pins ??= availableParallelism() > 1 && spawnSync('taskset', ['-c', '0', 'true']).status === 0;
  return pins;
}

/**
 * Runs `children/<file>` to its end and gives the one line it prints.
 * @param {string} file
 * @param {readonly string[]} [args]
 * @param {readonly string[]} [execArgv]
 */
export async function askProgram(file, args, execArgv) {
  const program = startProgram(file, args, execArgv);
  const ended = once(program.process, 'exit');
  const answer = await program.next();
  await ended;
  return answer;
}

/**
 * Sends SIGTERM, and SIGKILL to one that has not ended after `limitMs`. Times are on a clock that all processes of a machine share.
 * @param {import('node:child_process').ChildProcess} child
 * @param {number} limitMs
 */
export async function terminate(child, limitMs) {
  const exited = once(child, 'exit');
  const force = setTimeout(() => child.kill('SIGKILL'), limitMs);
  const signalledAt = now();
  child.kill('SIGTERM');
  const [code, signal] = await exited;
  const at = now();
  clearTimeout(force);
  return { at, signalledAt, hung: signal === 'SIGKILL', ended: String(code ?? signal) };
}

/** Milliseconds on the clock that every process of a machine has in common. */
function now() {
  return Number(process.hrtime.bigint()) / 1e6;
}
