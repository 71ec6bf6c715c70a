// @ts-check
import { cpus } from 'node:os';

/** @typedef {import('./pairs.js').Row} Row */

/** The machine and the version that numbers belong to. */
export function describeMachine() {
  const processors = cpus();
  return {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    processor: processors[0]?.model ?? 'unknown',
    processors: processors.length,
  };
}

const HEADS = ['benchmark', 'ours', 'reference', 'ours to reference', 'goal', '', 'rounds', ''];

/** @param {readonly Row[]} rows @param {readonly string[]} [heads] */
export function formatTable(rows, heads = HEADS) {
  return formatColumns([heads, ...rows.map(cells)]);
}

/** The machine, then the lines with their columns aligned. @param {readonly (readonly string[])[]} lines @param {string} [remark] */
export function formatColumns(lines, remark) {
  const { node, platform, processor, processors } = describeMachine();
  const widths = (lines[0] ?? []).map((_cell, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  const text = lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const machine = [
    `node ${node}`,
    `${platform}`,
    `${processors} × ${processor}`,
    ...(remark ? [remark] : []),
  ];
  return `${machine.join(', ')}\n\n${text.join('\n')}\n`;
}

/** @param {Row} row */
function cells(row) {
  const [low, high] = row.spread.map((value) => formatRelation(row, value));
  const value = formatRelation(row, row.value);
  const endless = row.limit !== undefined && row.ours >= row.limit;
  return [
    row.name,
    `${endless ? '> ' : ''}${formatNumber(row.ours)} ${row.unit}`,
    `${formatNumber(row.reference)} ${row.unit}`,
    endless ? '–' : row.rounds > 1 ? `${value} (${low} … ${high})` : value,
    formatGoal(row),
    row.met === null ? '' : row.met ? 'met' : 'not met',
    String(row.rounds),
    row.note ?? '',
  ];
}

/** @param {Row} row */
function formatGoal(row) {
  if (row.goal === null) return '–';
  return 'atMost' in row.goal
    ? `≤ ${formatRelation(row, row.goal.atMost)}`
    : `≥ ${formatRelation(row, row.goal.atLeast)}`;
}

/** @param {Row} row @param {number} value */
function formatRelation({ relation, unit, digits = 2 }, value) {
  if (relation === 'ratio') return `${value.toFixed(digits)}×`;
  return `${value < 0 ? '' : '+'}${formatNumber(value)} ${unit}`.trimEnd();
}

/** @param {number} value */
function formatNumber(value) {
  if (Number.isInteger(value)) return value.toLocaleString('en');
  return value.toLocaleString('en', { maximumFractionDigits: Math.abs(value) < 100 ? 1 : 0 });
}
