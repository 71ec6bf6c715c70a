// @ts-check

import { parseArgs } from 'node:util';
import { balancerVersion } from './balancer.js';
import { carryOut } from './command.js';
import { quantile } from './pairs.js';
import { CONTENDERS } from './reload/contenders.js';
import { addUp, LOADS } from './reload/measure.js';
import { balanced, cycles, reload } from './reload/parts.js';
import { findPm2 } from './reload/pm2.js';
import { describeMachine, formatColumns } from './table.js';
import { readNames, readWhole } from './values.js';

const PARTS = {
  reload: { run: reload, title: 'rolling reloads, clients at the service itself', action: 'a reload' },
  balanced: { run: balanced, title: 'rolling reloads, HAProxy in front', action: 'a reload' },
  cycles: {
    run: cycles,
    title: 'SIGTERM and a new start in turn, two instances behind HAProxy',
    action: 'a cycle',
  },
};
const HELP = `node bench/reload.js [--reloads N] [--cycles N] [--seconds N] [--only a,b] [--contenders a,b] [--json] [--help]

Replaces the two workers of a plain HTTP server again and again, under as much load as it takes, and counts every request that was
not answered. Rates and latencies are ratios to stretches of the same run in which nothing is replaced; see bench/README.md.

  --reloads N       for each contender and load, 1 to 1000, default 50
  --cycles N        the same of SIGTERM and start, 1 to 1000, default 20
  --seconds N       of load without, and at least with, each of them; 1 to 60, default 1
  --only a,b        some of the parts
                    reload    ${PARTS.reload.title}
                    balanced  ${PARTS.balanced.title}
                    cycles    ${PARTS.cycles.title}
  --contenders a,b  some of ${CONTENDERS.join(', ')}
  --json            for machines

Needs a build (npm run build), haproxy in the PATH or its path in HAPROXY, and npm for PM2 or its folder in PM2.
`;
const MOST_ACTIONS = 1000;
/** Everybody's turn comes so often, one right after the other, so that what the machine does meanwhile hits all of them. */
const ROUNDS = 5;

/**
 * @typedef {keyof typeof PARTS} Part
 * @typedef {import('./reload/measure.js').Slice} Slice
 * @typedef {import('./reload/parts.js').Result & { part: Part, name: string, load: import('./reload/measure.js').LoadName, gaveUps: string[] }} Sum
 */

/** Reads the command line. @returns what to measure, or the text that says why nothing can be */
function readArguments() {
  try {
    const { values } = parseArgs({
      options: /** @type {const} */ ({
        reloads: { type: 'string' },
        cycles: { type: 'string' },
        seconds: { type: 'string' },
        only: { type: 'string' },
        contenders: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      }),
    });
    const reloads = readWhole('--reloads', values.reloads, MOST_ACTIONS) ?? 50;
    return {
      parts: /** @type {Part[]} */ (readNames('--only', values.only, Object.keys(PARTS))),
      contenders: readNames('--contenders', values.contenders, CONTENDERS),
      counts: {
        reload: reloads,
        balanced: reloads,
        cycles: readWhole('--cycles', values.cycles, MOST_ACTIONS) ?? 20,
      },
      sliceMs: (readWhole('--seconds', values.seconds, 60) ?? 1) * 1000,
      json: values.json,
      help: values.help,
    };
  } catch (error) {
    return /** @type {Error} */ (error).message;
  }
}

/** @typedef {Exclude<ReturnType<typeof readArguments>, string>} Wanted */

/** Everybody in turn, in rounds; the order is turned around in every other one. @param {Part} part @param {Wanted} wanted */
async function runPart(part, { contenders, counts, sliceMs }) {
  const loads = /** @type {import('./reload/measure.js').LoadName[]} */ (Object.keys(LOADS));
  /** @type {Sum[]} */
  const sums = contenders.flatMap((name) =>
    loads.map((load) => ({
      part,
      name,
      load,
      slices: [],
      answered: 0,
      failed: {},
      survived: 0,
      killed: 0,
      gaveUps: [],
    })),
  );
  /** @type {Map<string, string>} */
  const errors = new Map();
  const rounds = Math.min(ROUNDS, counts[part]);
  for (let round = 0; round < rounds; round += 1) {
    const count = share(counts[part], rounds, round);
    for (const sum of round % 2 === 0 ? sums : [...sums].reverse()) {
      if (errors.has(sum.name)) continue;
      process.stderr.write(`${part}, round ${round + 1} of ${rounds}: ${sum.name}, ${sum.load}\n`);
      try {
        const result = await PARTS[part].run({ name: sum.name, load: sum.load, count, sliceMs });
        include(sum, result);
      } catch (error) {
        errors.set(sum.name, /** @type {Error} */ (error).message);
      }
    }
  }
  return {
    sums: sums.filter(({ name }) => !errors.has(name)),
    failures: [...errors].map(([name, error]) => ({ name: `${part} of ${name}`, error })),
  };
}

/** How many of `all` fall into this round. @param {number} all @param {number} rounds @param {number} round */
function share(all, rounds, round) {
  return Math.floor((all * (round + 1)) / rounds) - Math.floor((all * round) / rounds);
}

/** @param {Sum} sum @param {import('./reload/parts.js').Result} result */
function include(sum, result) {
  sum.slices.push(...result.slices);
  sum.answered += result.answered;
  addUp(sum.failed, result.failed);
  sum.survived += result.survived;
  sum.killed = (sum.killed ?? 0) + (result.killed ?? 0);
  if (result.gaveUp !== undefined) sum.gaveUps.push(result.gaveUp);
}

/** Everything the table shows of one contender under one load. @param {Sum} sum */
function summarize({ slices, answered, failed, survived, killed, gaveUps, ...who }) {
  const failures = Object.values(failed).reduce((all, count) => all + count, 0);
  /** @param {(stretch: import('./reload/measure.js').Stretch) => number} of */
  const relate = (of) => {
    const ratios = slices.map(({ quiet, busy }) => of(busy) / of(quiet)).filter(Number.isFinite);
    return { median: quantile(ratios, 0.5), low: quantile(ratios, 0.25), high: quantile(ratios, 0.75) };
  };
  return {
    ...who,
    actions: slices.length,
    requests: answered + failures,
    failures,
    failed,
    rate: relate((stretch) => stretch.answered / stretch.ms),
    p50: relate(({ p50 }) => p50),
    p99: relate(({ p99 }) => p99),
    actionMs: quantile(
      slices.map(({ actionMs }) => actionMs),
      0.5,
    ),
    survived,
    killed,
    gaveUps,
  };
}

/** @param {ReturnType<typeof summarize>} row */
function remarksOn({ survived, killed, gaveUps }) {
  const remarks = gaveUps.length > 0 ? [`gave up ${gaveUps.length} times: ${gaveUps[0]}`] : [];
  if (survived > 0) remarks.push(`old workers still answered after ${survived}`);
  if (killed) remarks.push(`killed: ${killed}`);
  return remarks.join(', ');
}

/** @param {{ median: number, low: number, high: number }} ratio */
function formatRatio({ median, low, high }) {
  if (Number.isNaN(median)) return '–';
  return `${median.toFixed(2)}× (${low.toFixed(2)} … ${high.toFixed(2)})`;
}

/** @param {Part} part @param {readonly ReturnType<typeof summarize>[]} rows @param {string} remark */
function formatPart(part, rows, remark) {
  const { title, action } = PARTS[part];
  const heads = ['', 'load', 'times', 'requests', 'failed', 'rate', 'p50', 'p99', action, 'how they failed'];
  const lines = rows.map((row) => [
    row.name,
    row.load,
    String(row.actions),
    row.requests.toLocaleString('en'),
    row.failures.toLocaleString('en'),
    ...[row.rate, row.p50, row.p99].map(formatRatio),
    row.actions > 0 ? `${Math.round(row.actionMs).toLocaleString('en')} ms` : '–',
    [...Object.entries(row.failed).map(([how, count]) => `${how}: ${count}`), remarksOn(row)]
      .filter(Boolean)
      .join(', '),
  ]);
  return `${title}\n${formatColumns([heads, ...lines], remark)}`;
}

/** @param {Wanted} wanted */
async function main(wanted) {
  const balancer = wanted.parts.some((part) => part !== 'reload') ? await balancerVersion() : undefined;
  const pm2 = wanted.contenders.some((name) => name.startsWith('pm2'))
    ? `PM2 ${(await findPm2()).version}`
    : undefined;
  const remark = [balancer, pm2].filter(Boolean).join(', ');
  const rows = [];
  const failures = [];
  for (const part of wanted.parts) {
    const results = await runPart(part, wanted);
    const own = results.sums.map(summarize);
    rows.push(...own);
    failures.push(...results.failures);
    if (!wanted.json && own.length > 0) console.log(formatPart(part, own, remark));
  }
  if (wanted.json)
    console.log(JSON.stringify({ machine: describeMachine(), balancer, pm2, rows, failures }, null, 2));
  for (const { name, error } of failures) console.error(`${name} could not run: ${error}`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

// What was started has groups of its own, which no Ctrl-C reaches; it is ended upon `exit`.
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));

await carryOut(readArguments(), HELP, main);
