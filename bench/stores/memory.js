// @ts-check
import { compare, measurePairs } from '../pairs.js';
import { askProgram } from '../processes.js';

export const about = 'heap of an open job that a store keeps, against one in memory only';
export const defaultRounds = 3;

const OPEN_JOBS = 50_000;

/**
 * Bytes of heap that one open job holds, each side in its own process, after garbage collection. What LMDB maps is the
 * kernel's to take back and is not counted.
 * @param {number} rounds
 */
export async function run(rounds) {
  /** @param {string} side */
  const bytes = (side) => askProgram('open-jobs.js', [side, String(OPEN_JOBS)], ['--expose-gc']);
  const pairs = await measurePairs(
    rounds,
    () => bytes('lmdb'),
    () => bytes('bus'),
  );
  const name = 'LMDB: memory of an open job';
  return [compare({ name, unit: 'B', relation: 'ratio', goal: null }, pairs)];
}
