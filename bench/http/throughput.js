// @ts-check
import { compare } from '../pairs.js';
import { measureSlices } from '../slices.js';

export const defaultRounds = 11;
export const defaultSeconds = 2;

const GOAL = { atLeast: 0.98 };
/** The row that shows what the measuring itself makes of two servers without a difference. */
const CONTROL = 'bare';

/**
 * Every pair is a bare server and a helped one, both in fresh processes, because two processes of one program differ by
 * a percent or two for all their lives.
 * @param {{ peers: readonly string[], rounds?: number | undefined, seconds?: number | undefined }} wishes
 * @returns {Promise<import('../results.js').Results>}
 */
export async function run({ peers, rounds = defaultRounds, seconds = defaultSeconds }) {
  const helpers = ['shutdown-bus', ...peers, CONTROL];
  /** @type {Map<string, import('../pairs.js').Pair[]>} */
  const pairs = new Map(helpers.map((helper) => [helper, []]));
  const failures = [];
  for (let round = 0; round < rounds; round += 1) {
    process.stderr.write(`throughput, round ${round + 1} of ${rounds} …\n`);
    for (const [helper, list] of pairs) {
      try {
        const referenceFirst = round % 2 === 1;
        const sides = { ours: helper, reference: CONTROL, seconds, referenceFirst };
        list.push(await measureSlices('http-service.js', sides));
      } catch (error) {
        failures.push({ name: `throughput, ${helper}`, error: String(error) });
        pairs.delete(helper);
      }
    }
  }
  return { rows: [...pairs].map(([helper, list]) => rowOf(helper, list)), failures };
}

/** @param {string} helper @param {readonly import('../pairs.js').Pair[]} pairs */
function rowOf(helper, pairs) {
  const what = {
    name: `throughput, ${helper === CONTROL ? 'a second bare server' : helper}`,
    unit: 'requests/s',
    relation: /** @type {const} */ ('ratio'),
    digits: 3,
    goal: helper === 'shutdown-bus' ? GOAL : null,
  };
  return compare(what, pairs);
}
