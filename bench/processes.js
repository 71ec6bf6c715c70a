// @ts-check
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/**
 * A program in children/, started; it says what it has to say in lines of JSON on stdout.
 * @typedef {object} Program
 * @property {import('node:child_process').ChildProcess} process
 * @property {() => Promise<any>} next its next line; rejects when it ends without one
 */

/**
 * Starts `children/<file>` in a fresh process.
 * @param {string} file
 * @param {readonly string[]} [args]
 * @param {readonly string[]} [execArgv] flags for node itself
 * @returns {Program}
 */
export function startProgram(file, args = [], execArgv = []) {
  const path = fileURLToPath(new URL(`children/${file}`, import.meta.url));
  const child = spawn(process.execPath, [...execArgv, path, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
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
  return { process: child, next };
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
