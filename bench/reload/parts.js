// @ts-check
import { Balancer } from '../balancer.js';
import { freePorts } from '../ports.js';
import { HEALTH_PATHS, startContender } from './contenders.js';
import { visit } from './measure.js';

/** A reload that is not over by then is given up, with its contender. */
const RELOAD_MS = 30_000;
const CYCLE_MS = 60_000;
/** One that has not ended so long after SIGTERM is killed. */
const END_MS = 15_000;
/** The default of HAProxy. */
const RETRIES = 3;
const INSTANCES = 2;

/**
 * One contender under one load, for a while.
 * @typedef {{ name: string, load: import('./measure.js').LoadName, count: number, sliceMs: number }} Setting
 * @typedef {import('./measure.js').Visit & { killed?: number }} Result
 */

/** Reloads, the clients at the workers' own port. @param {Setting} setting @returns {Promise<Result>} */
export async function reload({ name, ...setting }) {
  const [port = 0] = await freePorts(1);
  const running = await startContender(name, { port, checked: false });
  try {
    return await visit({ ...setting, port, patienceMs: RELOAD_MS }, () => running.reload());
  } finally {
    running.end();
  }
}

/** Reloads, HAProxy between the clients and the workers. @param {Setting} setting @returns {Promise<Result>} */
export async function balanced({ name, ...setting }) {
  const [front = 0, port = 0] = await freePorts(2);
  const running = await startContender(name, { port, checked: false });
  const balancer = new Balancer(front, [{ port, healthPort: port }], { retries: RETRIES });
  try {
    await balancer.untilUp(0);
    return await visit({ ...setting, port: front, patienceMs: RELOAD_MS }, () => running.reload());
  } finally {
    balancer.close();
    running.end();
  }
}

/** Two instances behind HAProxy; SIGTERM and a new start, in turn. @param {Setting} setting @returns {Promise<Result>} */
export async function cycles({ name, ...setting }) {
  const [front = 0, ...ports] = await freePorts(1 + INSTANCES);
  /** @type {import('./contenders.js').Running[]} */
  const instances = [];
  const health = HEALTH_PATHS[name] ? { healthPath: HEALTH_PATHS[name] } : {};
  const backends = ports.map((port) => ({ port, healthPort: port, ...health }));
  const balancer = new Balancer(front, backends, { retries: RETRIES });
  let killed = 0;
  try {
    for (const port of ports) instances.push(await startContender(name, { port, checked: true }));
    for (const index of ports.keys()) await balancer.untilUp(index);
    const result = await visit({ ...setting, port: front, patienceMs: CYCLE_MS }, async (turn) => {
      const index = turn % INSTANCES;
      const instance = /** @type {import('./contenders.js').Running} */ (instances[index]);
      if (!(await instance.group.terminate(END_MS))) killed += 1;
      instance.end();
      const port = /** @type {number} */ (ports[index]);
      instances[index] = await startContender(name, { port, checked: true });
      await balancer.untilUp(index);
    });
    return { ...result, survived: 0, killed };
  } finally {
    balancer.close();
    for (const instance of instances) instance.end();
  }
}
