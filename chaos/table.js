// @ts-check

/** @typedef {import('./cell.js').CellResult} CellResult */

const NUMBERS = /** @type {const} */ ({
  trials: 'trials',
  struck: 'struck',
  jobs: 'jobs',
  finished: 'finished',
  byProcess: 'reported by the process',
  bySurvivor: 'by a survivor',
  duplicates: 'duplicates',
  surplus: 'surplus',
  lost: 'lost',
});
const HEADS = ['way to die', 'store', ...Object.values(NUMBERS), ''];

/** Whether a cell keeps what is promised: nothing lost where that is, no report that is wrong, and processes that ended as they should. */
export function isKept(/** @type {CellResult} */ { promised, lost, wrong, strange, faults }) {
  return (lost === 0 || !promised) && wrong === 0 && strange === 0 && faults.length === 0;
}

/** All cells as a table in Markdown. @param {readonly CellResult[]} cells */
export function formatTable(cells) {
  const lines = [HEADS, ...cells.map(cellsOf)];
  const widths = HEADS.map((_, column) => Math.max(3, ...lines.map((line) => line[column]?.length ?? 0)));
  const isNumber = (/** @type {number} */ column) => column >= 2 && column < HEADS.length - 1;
  const rows = lines.map((line) =>
    line.map((cell, column) => {
      const width = widths[column] ?? 0;
      return isNumber(column) ? cell.padStart(width) : cell.padEnd(width);
    }),
  );
  const rule = widths.map((width, column) =>
    isNumber(column) ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width),
  );
  const [head, ...body] = rows.map((row) => `| ${row.join(' | ')} |`);
  return [head, `| ${rule.join(' | ')} |`, ...body].join('\n');
}

/** @param {CellResult} cell */
function cellsOf(cell) {
  const { way, note, store } = cell;
  const keys = /** @type {(keyof typeof NUMBERS)[]} */ (Object.keys(NUMBERS));
  const numbers = keys.map((key) => formatNumber(cell[key]));
  return [note === '' ? way : `${way} (${note})`, store, ...numbers, verdictOf(cell)];
}

/** @param {CellResult} cell */
function verdictOf({ promised, lost, wrong, strange, faults }) {
  const all = [
    promised && lost > 0 && 'BROKEN',
    wrong > 0 && `${wrong} wrong`,
    strange > 0 && `${strange} ended otherwise`,
    ...faults,
  ].filter((fault) => fault !== false);
  return [promised ? 'promised' : 'not promised', ...all].join(', ');
}

/** @param {number} value */
function formatNumber(value) {
  return value.toLocaleString('en');
}
