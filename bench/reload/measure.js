// @ts-check
import { setTimeout as sleep } from 'node:timers/promises';
import { startProgram } from '../processes.js';

/** Both are more than a service with two workers answers at once. */
export const LOADS = Object.freeze({
  'keep-alive': { keepAlive: true, clients: 32 },
  'no keep-alive': { keepAlive: false, clients: 32 },
});
/** @typedef {keyof typeof LOADS} LoadName */

/** Before each stretch that nothing happens in: new workers answer a third fewer requests at first. */
const WARM_UP_MS = 1000;
/** After an action, so that all it did to the clients has reached them. */
const SETTLE_MS = 200;

/**
 * What the load has seen in a stretch of time.
 * @typedef {object} Stretch
 * @property {number} ms
 * @property {number} answered
 * @property {Record<string, number>} failed
 * @property {Record<string, number>} workers answers by the process that gave them
 * @property {number} p50 in milliseconds, of the answers
 * @property {number} p99
 *
 * A stretch with an action in it, and the one before it without.
 * @typedef {{ quiet: Stretch, busy: Stretch, actionMs: number }} Slice
 *
 * @typedef {object} Visit
 * @property {Slice[]} slices
 * @property {number} answered
 * @property {Record<string, number>} failed in all, from the first request to the last
 * @property {number} survived actions after which a worker from before them still answered
 * @property {string} [gaveUp] why the last action is not among the slices
 */

/**
 * Does something to a service under load again and again; stretches in which it does alternate with those in which nothing happens.
 * @param {{ port: number, load: LoadName, count: number, sliceMs: number, patienceMs: number }} setting
 * @param {(index: number) => Promise<void>} act
 * @returns {Promise<Visit>}
 */
export async function visit({ port, load, count, sliceMs, patienceMs }, act) {
  const program = startProgram('reload-load.js', [JSON.stringify({ port, ...LOADS[load] })]);
  /** @type {Visit} */
  const result = { slices: [], answered: 0, failed: {}, survived: 0 };
  /** @returns {Promise<Stretch>} */
  const take = async (/** @type {object} */ message) => {
    program.tell(message);
    const stretch = /** @type {Stretch} */ (await program.next());
    result.answered += stretch.answered;
    addUp(result.failed, stretch.failed);
    return stretch;
  };
  try {
    /** @type {Stretch | undefined} */
    let before;
    for (let index = 0; index < count; index += 1) {
      await sleep(WARM_UP_MS);
      await take({ mark: true });
      await sleep(sliceMs);
      const quiet = await take({ mark: true });
      if (haveCommon(before, quiet)) result.survived += 1;
      before = quiet;
      const startedAt = performance.now();
      try {
        await within(act(index), patienceMs);
      } catch (error) {
        result.gaveUp = /** @type {Error} */ (error).message;
        break;
      }
      const actionMs = performance.now() - startedAt;
      await sleep(Math.max(SETTLE_MS, sliceMs - actionMs));
      result.slices.push({ quiet, busy: await take({ mark: true }), actionMs });
    }
    await sleep(SETTLE_MS);
    if (result.gaveUp === undefined && haveCommon(before, await take({ mark: true }))) result.survived += 1;
    await take({ end: true });
    return result;
  } finally {
    program.process.kill('SIGKILL');
  }
}

/** @param {Stretch | undefined} one @param {Stretch} other */
function haveCommon(one, other) {
  return Object.keys(one?.workers ?? {}).some((worker) => worker in other.workers);
}

/** @param {Record<string, number>} sums @param {Record<string, number>} counts */
export function addUp(sums, counts) {
  for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
}

/** @param {Promise<void>} action @param {number} ms */
async function within(action, ms) {
  const controller = new AbortController();
  const limit = sleep(ms, undefined, { signal: controller.signal }).then(() => {
    throw new Error(`not over after ${ms / 1000} s`);
  });
  try {
    await Promise.race([action, limit]);
  } finally {
    limit.catch(() => {});
    controller.abort();
  }
}
