// @ts-check
import { Random } from './random.js';

/**
 * When a process dies: while it starts, before its first job, after so many of its jobs, when all have begun.
 * @typedef {'starting' | 'ready' | 'begins' | 'idle'} Moment
 */

/**
 * One process's life, as far as it can be planned.
 * @typedef {object} Plan
 * @property {string} seed chooses all that its jobs do
 * @property {string} way
 * @property {Moment} moment
 * @property {number} jobs how many it begins, if it lives that long
 * @property {number} after with the moment `begins`: so many jobs after its start
 * @property {number} pauseMs from the moment to the blow
 */

const MOMENTS = /** @type {const} */ (['starting', 'ready', 'begins', 'idle']);
/** The rest is for `idle`. */
const SHARES = [0.05, 0.1, 0.5];
const MOST_JOBS = 30;
/** A process takes about 250 ms until its first job, and as long again until everything is loaded. */
const MOST_PAUSE_MS = { starting: 250, ready: 30, begins: 30, idle: 400 };

/** @param {string} seed @param {string} way @returns {Plan} */
export function planLife(seed, way) {
  const random = new Random(seed);
  const moment = pickMoment(random.next());
  const jobs = random.whole(1, MOST_JOBS);
  return {
    seed,
    way,
    moment,
    jobs,
    after: random.whole(1, jobs),
    pauseMs: random.chance(0.3) ? 0 : random.whole(1, MOST_PAUSE_MS[moment]),
  };
}

/** @param {number} share @returns {Moment} */
function pickMoment(share) {
  let sum = 0;
  const index = SHARES.findIndex((each) => {
    sum += each;
    return share < sum;
  });
  return MOMENTS[index] ?? 'idle';
}
