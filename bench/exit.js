// @ts-check
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { compare, measurePairs } from './pairs.js';
import { startProgram } from './processes.js';

export const about = 'SIGTERM to exit of an idle service against a bare process.exit';
export const defaultRounds = 20;

/** A service has been up for a while when it is stopped: what it does in the background at its start is over. */
const UP_MS = 300;

/**
 * The clock runs in the parent, from the signal to the `exit` event. Every measurement has a fresh process with an
 * HTTP server; the reference answers SIGTERM with `process.exit(0)`.
 * @param {number} rounds
 */
export async function run(rounds) {
  const reference = () => exitMs('bare');
  const idle = await measurePairs(rounds, () => exitMs('bus'), reference);
  const handler = await measurePairs(rounds, () => exitMs('handler'), reference);
  return [
    compare({ name: 'exit, idle', unit: 'ms', relation: 'difference', goal: { atMost: 20 } }, idle),
    compare(
      { name: 'exit, one handler and the watchdog', unit: 'ms', relation: 'difference', goal: null },
      handler,
    ),
  ];
}

/** @param {'bare' | 'bus' | 'handler'} kind */
async function exitMs(kind) {
  const service = startProgram('idle-service.js', [kind]);
  await service.next();
  await sleep(UP_MS);
  const ended = once(service.process, 'exit');
  const startedAt = performance.now();
  service.process.kill('SIGTERM');
  const [code, signal] = await ended;
  if (code !== 0) throw new Error(`the ${kind} service ended with ${code ?? signal}`);
  return performance.now() - startedAt;
}
