// @ts-check

/** @typedef {import('./child.js').Ending} Ending */

/**
 * How one process ended.
 * @typedef {object} End
 * @property {Ending} ending
 * @property {boolean} struck the blow fell as its way has it, and the process ended by that
 * @property {string | undefined} strange why no process of its way should end like that
 */

/** So many may end as only a busy machine makes them end; as many as live at the same time, since one bad moment hits them all. */
const RARE_SHARE = 0.1;
const LEAST_RARE = 2;
/** In so many trials a blow falls at least once. */
const ENOUGH_TRIALS = 20;

/**
 * What is wrong with these ends, all taken together: each of them may be right by itself.
 * @param {readonly End[]} ends
 * @param {{ rarely?: readonly Ending[] | undefined, parallel: number }} life how only a few should end; how many live at the same time
 * @returns {string[]}
 */
export function faultsOf(ends, { rarely = [], parallel }) {
  const most = Math.max(LEAST_RARE, parallel, Math.floor(ends.length * RARE_SHARE));
  const faults = rarely
    .map((ending) => ({ ending, count: ends.filter((end) => end.ending === ending).length }))
    .filter(({ count }) => count > most)
    .map(({ ending, count }) => `${count} of ${ends.length} ended with ${ending}, at most ${most} should`);
  if (ends.length >= ENOUGH_TRIALS && !ends.some(({ struck }) => struck)) faults.push('no blow has struck');
  return faults;
}

/** How many ended in each way. @param {readonly End[]} ends */
export function countEndings(ends) {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const { ending } of ends) counts[ending] = (counts[ending] ?? 0) + 1;
  return counts;
}
