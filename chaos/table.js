// @ts-check

/** @typedef {import('./cell.js').CellResult} CellResult */

const HEADS = [
  'way to die',
  'store',
  'trials',
  'jobs',
  'finished',
  'reported by the process',
  'by a survivor',
  'duplicates',
  'surplus',
  'lost',
  '',
];

/** Whether a cell keeps what is promised: nothing lost where that is, and no report that is wrong, no end that is none of the expected. */
export function isKept(/** @type {CellResult} */ { promised, lost, wrong, strange }) {
  return (lost === 0 || !promised) && wrong === 0 && strange === 0;
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
  const { way, note, store, trials, jobs, finished, byProcess, bySurvivor, duplicates, surplus, lost } = cell;
  const numbers = [trials, jobs, finished, byProcess, bySurvivor, duplicates, surplus, lost];
  return [note === '' ? way : `${way} (${note})`, store, ...numbers.map(formatNumber), verdictOf(cell)];
}

/** @param {CellResult} cell */
function verdictOf({ promised, lost, wrong, strange }) {
  const faults = [
    promised && lost > 0 && 'BROKEN',
    wrong > 0 && `${wrong} wrong`,
    strange > 0 && `${strange} ended otherwise`,
  ].filter((fault) => fault !== false);
  return [promised ? 'promised' : 'not promised', ...faults].join(', ');
}

/** @param {number} value */
function formatNumber(value) {
  return value.toLocaleString('en');
}
