// @ts-check

/**
 * One measurement of both sides, taken right after each other, so that whatever else the machine does hits both.
 * @typedef {{ ours: number, reference: number }} Pair
 *
 * What a comparison should come to. `null`: shown for information, nobody has promised anything.
 * @typedef {{ atMost: number } | { atLeast: number } | null} Goal
 *
 * @typedef {object} Row
 * @property {string} name
 * @property {string} unit of `ours` and `reference`
 * @property {'ratio' | 'difference'} relation ours / reference, or ours - reference
 * @property {number} ours median
 * @property {number} reference median
 * @property {number} value median of the pairs' own ratios or differences
 * @property {[number, number]} spread the middle half of them
 * @property {Goal} goal
 * @property {boolean | null} met
 * @property {number} rounds
 * @property {number} [digits] of a ratio, 2 unless told
 * @property {number} [limit] where measuring ends: so much may have been any more
 * @property {string} [note]
 */

/**
 * Measures both sides `rounds` times, in turn; who goes first alternates.
 * @param {number} rounds
 * @param {() => number | Promise<number>} ours
 * @param {() => number | Promise<number>} reference
 * @returns {Promise<Pair[]>}
 */
export async function measurePairs(rounds, ours, reference) {
  const pairs = [];
  for (let round = 0; round < rounds; round += 1) {
    if (round % 2 === 0) {
      const first = await ours();
      pairs.push({ ours: first, reference: await reference() });
    } else {
      const first = await reference();
      pairs.push({ ours: await ours(), reference: first });
    }
  }
  return pairs;
}

/**
 * Puts pairs together as one row of the table.
 * @param {Pick<Row, 'name' | 'unit' | 'relation' | 'goal' | 'digits' | 'limit' | 'note'>} what
 * @param {readonly Pair[]} pairs
 * @returns {Row}
 */
export function compare(what, pairs) {
  const values = pairs.map(({ ours, reference }) =>
    what.relation === 'ratio' ? ours / reference : ours - reference,
  );
  const value = quantile(values, 0.5);
  return {
    ...what,
    ours: quantile(
      pairs.map(({ ours }) => ours),
      0.5,
    ),
    reference: quantile(
      pairs.map(({ reference }) => reference),
      0.5,
    ),
    value,
    spread: [quantile(values, 0.25), quantile(values, 0.75)],
    met: isMet(what.goal, value),
    rounds: pairs.length,
  };
}

/** @param {Goal} goal @param {number} value */
function isMet(goal, value) {
  if (goal === null) return null;
  return 'atMost' in goal ? value <= goal.atMost : value >= goal.atLeast;
}

/**
 * The value below which the given share of them lies.
 * @param {readonly number[]} values
 * @param {number} share from 0 to 1; 0.5 is the median
 */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below + (above - below) * (place - Math.floor(place));
}
