// @ts-check
import { duration } from './paint.js';

/** @typedef {import('./paint.js').Colour} Colour */
/** @typedef {import('./paint.js').Paint} Paint */
/** @typedef {import('shutdown-bus').ShutdownReport} Report */

/**
 * What the timeline shows.
 * @typedef {object} Shutdown
 * @property {Report} report
 * @property {number} graceMs    from the SIGTERM to the SIGKILL: the length of the ruler
 * @property {{ name: string, endMs: number }[]} plan   how the budget was divided
 * @property {(ms: number) => number} openJobs   how many jobs were open then
 */

const LABEL = 25;
const CELLS = 60;
/** @type {Record<string, Colour>} */
const HUES = { intake: 'blue', drain: 'cyan', deliver: 'green', release: 'magenta' };
const LEVELS = '▁▂▃▄▅▆▇█';

/**
 * Draws phases and handlers as bars against the budget, one line each.
 * @param {Shutdown} shutdown
 * @param {Paint} paint
 * @returns {string[]}
 */
export function drawTimeline({ report, graceMs, plan, openJobs }, paint) {
  const scale = { perCell: graceMs / CELLS, budgetMs: report.budgetMs };
  const lines = [drawRuler(graceMs, paint), drawPlan(plan, scale, paint), ''];
  for (const phase of report.phases) {
    const hue = HUES[phase.phase] ?? 'blue';
    lines.push(
      row(
        paint(toLabel(phase.phase), 'bold'),
        drawBar(phase, ' ▐▌█', hue, scale, paint),
        phase.durationMs,
        paint,
      ),
    );
    for (const handler of report.handlers.filter((one) => one.phase === phase.phase)) {
      const well = handler.outcome === 'done';
      const name = toLabel(`  ${handler.name.replace(/ :\d+$/, '')}${well ? '' : `: ${handler.outcome}`}`);
      const bar = drawBar(handler, ' ╺╸━', well ? hue : 'red', scale, paint);
      lines.push(row(well ? name : paint(name, 'red'), bar, handler.durationMs, paint));
    }
  }
  lines.push('', `${paint(toLabel('open jobs'), 'bold')} ${drawOpenJobs(openJobs, report, scale, paint)}`);
  return lines;
}

/** @typedef {{ perCell: number, budgetMs: number }} Scale */

/** @param {string} label @param {string} bar @param {number} ms @param {Paint} paint */
function row(label, bar, ms, paint) {
  return `${label} ${bar} ${paint(duration(ms).padStart(8), 'dim')}`;
}

/**
 * Cut to the width of the labels, or filled up to it.
 * @param {string} label
 */
function toLabel(label) {
  return label.length > LABEL ? `${label.slice(0, LABEL - 1)}…` : label.padEnd(LABEL);
}

/** @param {number} graceMs @param {Paint} paint */
function drawRuler(graceMs, paint) {
  const cells = Array(CELLS + 8).fill(' ');
  for (let second = 0; second * 1000 <= graceMs; second++) {
    const at = Math.round((second * 1000 * CELLS) / graceMs);
    const mark = second * 1000 === graceMs ? `${second} s kill` : String(second);
    cells.splice(at, mark.length, ...mark);
  }
  return `${toLabel('seconds since SIGTERM')} ${paint(cells.join('').trimEnd(), 'dim')}`;
}

/**
 * The budget as it was divided beforehand; a name where there is room for it.
 * @param {Shutdown['plan']} plan
 * @param {Scale} scale
 * @param {Paint} paint
 */
function drawPlan(plan, { perCell }, paint) {
  let from = 0;
  const parts = plan.map(({ name, endMs }) => {
    const width = Math.max(0, Math.round(endMs / perCell) - from - 1);
    from += width + 1;
    const text = name.length + 2 <= width ? ` ${name} ` : name.length <= width ? name : '';
    const left = Math.floor((width - text.length) / 2);
    return '─'.repeat(Math.max(0, left)) + text + '─'.repeat(Math.max(0, width - left - text.length));
  });
  const drawn = `├${parts.join('┼')}┤`;
  return `${toLabel('budget, as planned')} ${paint(drawn, 'dim')}${' '.repeat(Math.max(0, CELLS - from - 1))}${paint('┃', 'red')}`;
}

/**
 * A bar with a precision of half a cell, between the marks of the budget's end and of the kill.
 * @param {{ startedMs: number, durationMs: number }} span
 * @param {string} glyphs   nothing, right half, left half, whole
 * @param {Colour} hue
 * @param {Scale} scale
 * @param {Paint} paint
 */
function drawBar({ startedMs, durationMs }, glyphs, hue, scale, paint) {
  const half = scale.perCell / 2;
  const from = Math.floor(startedMs / half);
  const to = Math.max(from + 1, Math.round((startedMs + durationMs) / half));
  const within = (/** @type {number} */ at) => Number(at >= from && at < to);
  return drawCells((cell) => glyphs[within(cell * 2) * 2 + within(cell * 2 + 1)] ?? ' ', hue, scale, paint);
}

/** @param {(ms: number) => number} openJobs @param {Report} report @param {Scale} scale @param {Paint} paint */
function drawOpenJobs(openJobs, { durationMs }, scale, paint) {
  const counts = Array.from({ length: CELLS }, (_, cell) => openJobs((cell + 0.5) * scale.perCell));
  const most = Math.max(1, ...counts);
  const glyph = (/** @type {number} */ cell) => {
    const count = counts[cell] ?? 0;
    if (count === 0 || cell * scale.perCell > durationMs) return ' ';
    return LEVELS[Math.ceil((count / most) * LEVELS.length) - 1] ?? ' ';
  };
  const ends = `${openJobs(0)} → ${openJobs(durationMs)}`;
  return `${drawCells(glyph, 'yellow', scale, paint)} ${paint(ends.padStart(8), 'dim')}`;
}

/** @param {(cell: number) => string} glyph @param {Colour} hue @param {Scale} scale @param {Paint} paint */
function drawCells(glyph, hue, { perCell, budgetMs }, paint) {
  const budgetCell = Math.round(budgetMs / perCell);
  let line = '';
  for (let cell = 0; cell < CELLS; cell++) {
    const drawn = glyph(cell);
    if (drawn !== ' ') line += paint(drawn, hue);
    else line += cell === budgetCell ? paint('┊', 'dim') : ' ';
  }
  return line + paint('┃', 'red');
}
