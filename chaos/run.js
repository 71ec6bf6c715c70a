// @ts-check
// Every way to die, with every store: are all jobs finished or reported? `node chaos/run.js --help` says more.
import { existsSync } from 'node:fs';
import { describeMachine } from '../bench/table.js';
import { Cell } from './cell.js';
import { findMemoryLimit } from './memory-limit.js';
import { help, readOptions } from './options.js';
import { formatTable, isKept } from './table.js';
import { WAYS } from './ways.js';

/** @typedef {import('./cell.js').CellResult} CellResult */
/** @typedef {import('./cell.js').Order} Order */
/** @typedef {import('./options.js').Options} Options */

/** So many cells at the same time: while one waits for its survivor, others die. */
const LANES = 2;

const options = read();
if (options?.help) process.stdout.write(help());
else if (options) {
  // and with it every child, see child.js
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']))
    process.once(signal, () => process.exit(130));
  process.exitCode = await play(options);
}

/** @returns {Options | undefined} */
function read() {
  try {
    if (!existsSync(new URL('../dist/src/index.js', import.meta.url)))
      throw new Error('the package is not built yet; run: npm run build');
    return readOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`chaos: ${/** @type {Error} */ (error).message}\nTry: node chaos/run.js --help\n`);
    process.exitCode = 2;
    return undefined;
  }
}

/** @param {Options} options @returns {Promise<number>} the exit code */
async function play(options) {
  const { seed, trials, remarks, json } = options;
  const startedAt = performance.now();
  say(`seed ${seed}, ${trials} trials a cell`);
  for (const remark of remarks) say(remark);
  const cells = await runAll(ordersOf(options));
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  if (json) process.stdout.write(`${JSON.stringify({ seed, machine: describeMachine(), seconds, cells })}\n`);
  else print(cells, seed, seconds);
  return cells.every(isKept) ? 0 : 1;
}

/** @param {Options} options @returns {Order[]} */
function ordersOf({ ways, stores, seed, parallel, ...rest }) {
  const memoryLimit = findMemoryLimit();
  const share = { ...rest, seed: String(seed), parallel: Math.floor(parallel / LANES), memoryLimit };
  return ways.flatMap((way) =>
    (WAYS[way]?.only ?? stores)
      .filter((store) => stores.includes(store))
      .map((store) => ({ ...share, way, store })),
  );
}

/** @param {readonly Order[]} orders */
async function runAll(orders) {
  /** @type {CellResult[]} */
  const results = [];
  const left = [...orders.entries()];
  const lanes = Array.from({ length: LANES }, async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const [index, order] = next;
      const result = await new Cell(order).run();
      results[index] = result;
      const done = Object.keys(results).length;
      say(`${done}/${orders.length} ${order.way} × ${order.store}: ${tell(result)}`);
      if (!isKept(result)) for (const finding of result.findings) say(`    ${finding}`);
    }
  });
  await Promise.all(lanes);
  return results;
}

/** @param {CellResult} result */
function tell({ jobs, lost, promised, seconds }) {
  return `${jobs} jobs, ${lost} lost${promised ? '' : ' (not promised)'}, ${seconds} s`;
}

/** @param {readonly CellResult[]} cells @param {number} seed @param {number} seconds */
function print(cells, seed, seconds) {
  const { node, platform, processor, processors } = describeMachine();
  const broken = cells.filter((cell) => !isKept(cell)).map(({ way, store }) => `${way} × ${store}`);
  const verdict = broken.length === 0 ? 'Every promise was kept.' : `Broken: ${broken.join(', ')}.`;
  const machine = `node ${node}, ${platform}, ${processors} × ${processor}`;
  process.stdout.write(
    `${formatTable(cells)}\n\n${verdict} ${machine}, seed ${seed}, ${Math.floor(seconds / 60)} min ${seconds % 60} s\n`,
  );
}

/** @param {string} line */
function say(line) {
  process.stderr.write(`chaos: ${line}\n`);
}
