// @ts-check
import { setTimeout as sleep } from 'node:timers/promises';
import { startProgram, terminate } from '../processes.js';

/**
 * What a server has to do with when the signal comes.
 * @typedef {object} Scene
 * @property {string} name
 * @property {number} idle keep-alive connections that have asked once
 * @property {number} asking requests in flight, each answered 500 ms after it was asked
 *
 * How one server ended.
 * @typedef {object} Exit
 * @property {number} ms from the signal, or from when the last answer is due if that is later, to the end of the process
 * @property {number} cut requests in flight whose answer did not come
 * @property {boolean} hung it had to be ended by force
 * @property {string} ended its exit code or the signal that ended it
 */

/** A service has been up for a while when it is stopped: what it does in the background at its start is over. */
const UP_MS = 300;
/** So are its last accepts, while requests in flight are not yet due. */
const SETTLED_MS = 150;

/**
 * Starts a server and its clients in processes of their own, sends SIGTERM, and runs the clock in this one until `exit`.
 * @param {string} helper
 * @param {object} settings
 * @param {Scene} scene
 * @param {number} limitMs
 * @returns {Promise<Exit>}
 */
export async function measureExit(helper, settings, { idle, asking }, limitMs) {
  const service = startProgram('http-service.js', [helper, JSON.stringify(settings)]);
  const programs = [service];
  try {
    const { port } = await service.next();
    await sleep(UP_MS);
    const clients = startProgram('open-clients.js', [port, idle, asking].map(String));
    programs.push(clients);
    const { dueAt } = await clients.next();
    await sleep(SETTLED_MS);
    const end = await terminate(service.process, limitMs);
    const { cut } = await clients.next();
    const ms = end.hung ? limitMs : end.at - Math.max(end.signalledAt, dueAt);
    return { ms, cut, hung: end.hung, ended: end.ended };
  } finally {
    for (const program of programs) program.process.kill('SIGKILL');
  }
}
