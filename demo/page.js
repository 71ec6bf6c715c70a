// @ts-check
import { now } from './ledger.js';
import { createPaint } from './paint.js';

/** @typedef {import('./sums.js').Sums} Sums */
/** @typedef {import('./sums.js').Check} Check */

const WIDTH = 98;
const startedAt = now();

export const paint = createPaint(process.stdout);

/** @param {string[]} lines */
export function print(...lines) {
  process.stdout.write(lines.map((line) => `  ${line}`.trimEnd().concat('\n')).join(''));
}

/**
 * One line of what is going on, with the time since the demo began.
 * @param {string} who
 * @param {string} what
 */
export function tell(who, what) {
  const seconds = ((now() - startedAt) / 1000).toFixed(2).padStart(6);
  print(`${paint(`${seconds} s`, 'dim')}  ${paint(who, 'bold')}  ${what}`);
}

/** @param {string} title */
export function heading(title) {
  print('', paint(title, 'bold'), paint('─'.repeat(WIDTH), 'dim'));
}

/**
 * Jobs on the left, requests on the right.
 * @param {Sums} sums
 */
export function printTable(sums) {
  const withStatus = (/** @type {number} */ status) =>
    sums.answers.filter((answer) => answer.status === status).length;
  const [done, handedOver] = [withStatus(201), withStatus(200)];
  const left = [
    cell("begun, by B's books", sums.begun.length),
    cell("finished, by B's books", sums.finished.size),
    cell("reported, by C's books", sums.reported.size),
    cell('reported more than once', sums.repeated),
    cell('finished and yet reported', sums.both.length),
    cell('lost', sums.lost.length, true),
  ];
  const right = [
    cell("posted, by A's books", sums.posted.length),
    cell("in B's backlog at the SIGTERM", sums.inBacklog),
    cell('answered 201, done by B', done),
    cell('answered 200, reported to C', handedOver),
    cell('answered otherwise', sums.answers.length - done - handedOver),
    cell('dropped', sums.dropped.length, true),
  ];
  print(`${paint('jobs'.padEnd(54), 'bold')}${paint('requests', 'bold')}`);
  print(...left.map((text, row) => `${text}${' '.repeat(14)}${right[row]}`));
}

/** @param {string} name @param {number} count */
function cell(name, count, must0 = false) {
  const text = `${name.padEnd(32)}${String(count).padStart(8)}`;
  return must0 ? paint(text, count === 0 ? 'green' : 'red', 'bold') : text;
}

/** @param {Check[]} checks */
export function printChecks(checks) {
  for (const { right, claim, figures } of checks) {
    const mark = right ? paint('✓', 'green') : paint('✗', 'red', 'bold');
    print(`${mark} ${right ? claim.padEnd(32) : paint(claim.padEnd(32), 'red')} ${figures}`);
  }
}

/**
 * The last line: what to think of it. If it is wrong, with what B said on stderr.
 * @param {Check[]} checks
 * @param {string[]} words
 */
export function printVerdict(checks, words) {
  const wrong = checks.filter(({ right }) => !right);
  if (wrong.length === 0) print('', paint('All sums are right.', 'green', 'bold'), '');
  else {
    print('', paint(`${wrong.length} of ${checks.length} are not right:`, 'red', 'bold'));
    print(...wrong.map(({ claim, figures }) => `  ${claim}: ${figures}`), '', 'B said:', ...words, '');
  }
}
