// @ts-check
import { parseArgs } from 'node:util';
import { printResults } from './results.js';
import { readWhole } from './values.js';

const NAMES = ['begin-complete', 'delivery', 'import', 'exit', 'memory'];
const MOST_ROUNDS = 200;
const HELP = `node bench/run.js [name…] [--rounds N] [--json] [--help]

Measures shutdown-bus against the plainest thing that could stand in its place. Without a name: everything.
Needs a build (npm run build). A goal that is missed is no error; see bench/README.md.

`;

/**
 * @typedef {object} Benchmark
 * @property {string} about
 * @property {number} defaultRounds
 * @property {(rounds: number) => Promise<import('./pairs.js').Row[]>} run
 */

/** @param {string} name @returns {Promise<Benchmark>} */
const load = (name) => import(`./${name}.js`);

async function printHelp() {
  const rows = await Promise.all(
    NAMES.map(async (name) => {
      const { about, defaultRounds } = await load(name);
      return `  ${name.padEnd(15)} ${about} (${defaultRounds} rounds)`;
    }),
  );
  console.log(`${HELP}${rows.join('\n')}`);
}

/** Reads the command line. @returns what to run, or the text that says why nothing can be */
function readArguments() {
  try {
    const options = /** @type {const} */ ({
      rounds: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    });
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    const stranger = positionals.find((name) => !NAMES.includes(name));
    if (stranger !== undefined) return `there is no benchmark "${stranger}"; there are ${NAMES.join(', ')}`;
    return {
      names: positionals.length > 0 ? positionals : NAMES,
      rounds: readWhole('--rounds', values.rounds, MOST_ROUNDS),
      json: values.json,
      help: values.help,
    };
  } catch (error) {
    return /** @type {Error} */ (error).message;
  }
}

/** Runs one after the other; one that cannot run leaves the others alone. @param {readonly string[]} names @param {number} [rounds] */
async function runAll(names, rounds) {
  const rows = [];
  const failures = [];
  for (const name of names) {
    try {
      const { run, defaultRounds } = await load(name);
      process.stderr.write(`${name} …\n`);
      rows.push(...(await run(rounds ?? defaultRounds)));
    } catch (error) {
      failures.push({ name, error: String(/** @type {Error} */ (error).stack ?? error) });
    }
  }
  return { rows, failures };
}

const wanted = readArguments();
if (typeof wanted === 'string') {
  console.error(wanted);
  process.exitCode = 1;
} else if (wanted.help) {
  await printHelp();
} else {
  printResults(await runAll(wanted.names, wanted.rounds), wanted.json);
}
