// @ts-check
import { compare, measurePairs } from './pairs.js';
import { askProgram } from './processes.js';

export const about = 'import of shutdown-bus against import of eventemitter3 alone';
export const defaultRounds = 30;

/**
 * A fresh process a measurement; the clock runs from just before `await import(name)` to just after it, so that the
 * start of node itself is on neither side.
 * @param {number} rounds
 */
export async function run(rounds) {
  /** @param {string} name */
  const imported = (name) => askProgram('import-package.js', [name]);
  const ours = await imported('shutdown-bus');
  const reference = await imported('eventemitter3');
  const pairs = await measurePairs(
    rounds,
    async () => (await imported('shutdown-bus')).ms,
    async () => (await imported('eventemitter3')).ms,
  );
  return [
    compare({ name: 'import', unit: 'ms', relation: 'difference', goal: { atMost: 10 } }, pairs),
    count('import: files loaded', await files('shutdown-bus'), await files('eventemitter3')),
    count('import: modules of node loaded', ours.builtins, reference.builtins),
  ];
}

/** How many files the import of a package reads. @param {string} name @returns {Promise<number>} */
async function files(name) {
  return (await askProgram('import-package.js', [name, 'count-files'])).files;
}

/** @param {string} name @param {number} ours @param {number} reference */
function count(name, ours, reference) {
  return compare({ name, unit: '', relation: 'difference', goal: null }, [{ ours, reference }]);
}
