// @ts-check
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { readNames, readWhole } from '../bench/values.js';
import { STORES } from './stores.js';
import { WAYS } from './ways.js';

/** @typedef {import('./ways.js').StoreName} StoreName */

/**
 * @typedef {object} Options
 * @property {number} trials
 * @property {readonly string[]} ways
 * @property {readonly StoreName[]} stores
 * @property {readonly string[]} remarks what was left out, and why
 * @property {number} seed
 * @property {number} parallel
 * @property {string} sabotage
 * @property {boolean} json
 * @property {boolean} help
 */

const SABOTAGES = ['store-off', 'lose-report', 'keep-finished', 'hang'];
const DEFAULT_TRIALS = 20;

/** The page of `--help`. */
export function help() {
  const ways = Object.entries(WAYS).map(([name, { about }]) => `  ${name.padEnd(22)}${about}`);
  return `node chaos/run.js: processes that die at random moments, in every way there is, with every store.

A small service begins, continues and finishes jobs at random until it dies. A ledger outside of it knows which of
them were acknowledged. When everybody is gone a survivor starts on the same store. Each job must have been finished, or
reported with its payload and its last checkpoint. The exit code is 1 when a job was lost that a store promises to
keep, when a report was wrong, and when a process ended in another way than it should. Needs a build (npm run build).

  --trials N        processes that die in each cell of the table, 1 to 10000 (${DEFAULT_TRIALS})
  --only <way,…>    some ways to die
  --store <name,…>  memory, lmdb, redis (all that can be had here)
  --seed N          the plan of every process: who dies when, with which jobs (by chance, and printed)
  --parallel N      processes at the same time, 2 to 200 (3 for each processor)
  --json            for machines
  --sabotage <what> proves that the ledger can tell; the exit code must then be 1
                      store-off      durable stores are switched off behind the ledger's back
                      lose-report    what the first report of each cell says is forgotten
                      keep-finished  what is finished stays open behind the ledger's back
                      hang           every shutdown is stuck until its deadline
  --help            this page

Ways to die:
${ways.join('\n')}
`;
}

/**
 * Reads the command line.
 * @param {readonly string[]} args
 * @returns {Options}
 * @throws {Error} that says what it got and what is allowed
 */
export function readOptions(args) {
  const text = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean', default: false });
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...{ trials: text, only: text, store: text, seed: text, parallel: text, sabotage: text },
      ...{ json: flag, help: { ...flag, short: 'h' } },
    },
  });
  const ways = readNames('--only', values.only, Object.keys(WAYS));
  const { stores, remarks } = readStores(values.store);
  if (values.only !== undefined) for (const way of ways) checkWay(way, stores);
  return {
    trials: readWhole('--trials', values.trials, 10_000) ?? DEFAULT_TRIALS,
    ways,
    stores,
    remarks,
    seed: readWhole('--seed', values.seed, 2 ** 31 - 1, 0) ?? Math.floor(Math.random() * 2 ** 31),
    parallel: readWhole('--parallel', values.parallel, 200, 2) ?? 3 * availableParallelism(),
    sabotage:
      values.sabotage === undefined ? '' : (readNames('--sabotage', values.sabotage, SABOTAGES)[0] ?? ''),
    json: values.json,
    help: values.help,
  };
}

/** @param {string | undefined} text */
function readStores(text) {
  const names = /** @type {StoreName[]} */ (readNames('--store', text, Object.keys(STORES)));
  const missing = names.filter((name) => STORES[name].missing() !== undefined);
  const remarks = missing.map((name) => `${name} is left out: ${STORES[name].missing()}`);
  if (text !== undefined && remarks[0] !== undefined) throw new Error(remarks[0]);
  return { stores: names.filter((name) => !missing.includes(name)), remarks };
}

/** Whether there is a store to do it with. @param {string} way @param {readonly StoreName[]} stores */
function checkWay(way, stores) {
  const only = WAYS[way]?.only ?? stores;
  if (!only.some((store) => stores.includes(store)))
    throw new Error(`${way} cannot be done with ${stores.join(', ')}; it can be with ${only.join(', ')}`);
}
