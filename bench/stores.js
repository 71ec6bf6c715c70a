// @ts-check
import { parseArgs } from 'node:util';
import { printResults } from './results.js';
import { readNames, readWhole } from './values.js';

const PARTS = ['lmdb', 'redis', 'memory', 'orphans', 'http'];
const MOST_ROUNDS = 200;
const HEADS = ['stores', 'measured', 'reference', 'measured to reference', 'goal', '', 'rounds', ''];
const HELP = `node bench/stores.js [--rounds N] [--only ${PARTS.join(',')}] [--json] [--help]

Measures what a durable store costs. Needs a build (npm run build); redis needs redis-server.
A goal that is missed is no error; see bench/README.md.

`;

/** @typedef {{ about: string, defaultRounds: number, run(rounds: number): Promise<import('./pairs.js').Row[]> }} Part */

/** @param {string} name @returns {Promise<Part>} */
const load = (name) => import(`./stores/${name}.js`);

async function printHelp() {
  const lines = await Promise.all(
    PARTS.map(async (name) => {
      const { about, defaultRounds } = await load(name);
      return `  ${name.padEnd(9)} ${about} (${defaultRounds} rounds)`;
    }),
  );
  console.log(`${HELP}${lines.join('\n')}`);
}

/** Reads the command line. @returns what to measure, or the text that says why nothing can be */
function readArguments() {
  try {
    const { values } = parseArgs({
      options: /** @type {const} */ ({
        rounds: { type: 'string' },
        only: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      }),
    });
    return {
      parts: readNames('--only', values.only, PARTS),
      rounds: readWhole('--rounds', values.rounds, MOST_ROUNDS),
      json: values.json,
      help: values.help,
    };
  } catch (error) {
    return /** @type {Error} */ (error).message;
  }
}

const wanted = readArguments();
if (typeof wanted === 'string') {
  console.error(wanted);
  process.exitCode = 1;
} else if (wanted.help) {
  await printHelp();
} else {
  const rows = [];
  const failures = [];
  for (const name of wanted.parts) {
    process.stderr.write(`${name} …\n`);
    try {
      const { run, defaultRounds } = await load(name);
      rows.push(...(await run(wanted.rounds ?? defaultRounds)));
    } catch (error) {
      failures.push({ name, error: String(/** @type {Error} */ (error).stack ?? error) });
    }
  }
  printResults({ rows, failures }, wanted.json, HEADS);
}
