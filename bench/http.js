// @ts-check
import { parseArgs } from 'node:util';
import { carryOut } from './command.js';
import * as exits from './http/exits.js';
import * as throughput from './http/throughput.js';
import { PEERS } from './peers.js';
import { printResults } from './results.js';
import { readNames, readWhole } from './values.js';

const PARTS = { throughput, exit: exits };
const MOST_ROUNDS = 200;
const MOST_SECONDS = 60;
const HEADS = ['HTTP', 'measured', 'reference', 'measured to reference', 'goal', '', 'rounds', ''];
const HELP = `node bench/http.js [--rounds N] [--seconds N] [--only ${Object.keys(PARTS).join('|')}] [--peers a,b] [--json] [--help]

Measures an HTTP server helped by shutdown-bus, or by one of its peers, against a bare one. Needs a build (npm run build).
A goal that is missed is no error; see bench/README.md.

  --rounds N     ${throughput.defaultRounds} for the throughput, ${exits.defaultRounds} for the exits
  --seconds N    of load a measurement (${throughput.defaultSeconds})
  --only PART    throughput  requests a second on keep-alive connections, against the bare server
                 exit        SIGTERM until the process is gone, against the fastest peer that cuts no request off
  --peers a,b    some of ${PEERS.join(', ')}
  --json         for machines`;

/** @typedef {keyof typeof PARTS} Part */

/** Reads the command line. @returns what to measure, or the text that says why nothing can be */
function readArguments() {
  try {
    const { values } = parseArgs({
      options: /** @type {const} */ ({
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        only: { type: 'string' },
        peers: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      }),
    });
    return {
      parts: /** @type {Part[]} */ (readNames('--only', values.only, Object.keys(PARTS))),
      wishes: {
        peers: readNames('--peers', values.peers, PEERS),
        rounds: readWhole('--rounds', values.rounds, MOST_ROUNDS),
        seconds: readWhole('--seconds', values.seconds, MOST_SECONDS),
      },
      json: values.json,
      help: values.help,
    };
  } catch (error) {
    return /** @type {Error} */ (error).message;
  }
}

await carryOut(readArguments(), HELP, async (wanted) => {
  const rows = [];
  const failures = [];
  for (const part of wanted.parts) {
    const results = await PARTS[part].run(wanted.wishes);
    rows.push(...results.rows);
    failures.push(...results.failures);
  }
  printResults({ rows, failures }, wanted.json, HEADS);
});
