// @ts-check
import { parseArgs } from 'node:util';

const HELP = `node demo/run.js: one shutdown, watched from three sides.

  A posts jobs      B does them, with shutdown-bus      C is told what B could not finish

B gets a real SIGTERM in the middle. It finishes what it can, reports the rest to C over a signed
webhook, answers every request that A still has open, and must be gone before the platform's SIGKILL
at 10 s. Each process keeps its own books. At the end they are compared: the exit code is 0 only if
all sums are right.

  --jobs <n>         jobs posted at once, 100 to 500 (200)
  --late <n>         jobs posted in the moment of the SIGTERM, 0 to 100 (20): half of them wait in
                     the kernel's backlog, half on keep-alive connections that idled
  --seed <n>         chooses how long each job takes (1)
  --budget <ms>      B's budget, 2000 to 9500 (9000: the 10 s of Cloud Run less a margin); less of
                     it makes the demo shorter
  --sabotage <what>  proves that the sums can fail; the exit code must then be 1
                       lose-report  C accepts a report and forgets it: one job is lost
                       drop-answer  B cuts a connection without an answer: one request is dropped
                       overstay     B plans with 30 s and is killed at 10 s, in the middle of it
  --help             this page

Colours are left out when stdout is no terminal or NO_COLOR is set.
`;

const SABOTAGES = ['lose-report', 'drop-answer', 'overstay'];

/** @typedef {{ jobs: number, late: number, seed: number, budgetMs: number | undefined, sabotage: string }} DemoOptions */

/**
 * Reads the command line; answers `--help` and mistakes itself, by ending the process with 0 and 2.
 * @param {string[]} args
 * @returns {DemoOptions}
 */
export function readOptions(args) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        jobs: { type: 'string', default: '200' },
        late: { type: 'string', default: '20' },
        seed: { type: 'string', default: '1' },
        budget: { type: 'string' },
        sabotage: { type: 'string', default: '' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    return {
      jobs: whole('jobs', values.jobs, 100, 500),
      late: whole('late', values.late, 0, 100),
      seed: whole('seed', values.seed, 0, 2 ** 31 - 1),
      budgetMs: values.budget === undefined ? undefined : whole('budget', values.budget, 2000, 9500),
      sabotage: known(values.sabotage),
    };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    process.stderr.write(`demo: ${problem}\nTry: node demo/run.js --help\n`);
    process.exit(2);
  }
}

/** @param {string} name @param {string} text @param {number} least @param {number} most */
function whole(name, text, least, most) {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new Error(`--${name} is "${text}", allowed: a whole number from ${least} to ${most}`);
}

/** @param {string} sabotage */
function known(sabotage) {
  if (sabotage === '' || SABOTAGES.includes(sabotage)) return sabotage;
  throw new Error(`--sabotage is "${sabotage}", allowed: ${SABOTAGES.join(', ')}`);
}
