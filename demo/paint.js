// @ts-check

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36 };

/** @typedef {keyof typeof CODES} Colour */
/** @typedef {(text: string, ...colours: Colour[]) => string} Paint */

/**
 * Wraps text in ANSI colours, or leaves it as it is when the reader does not want any.
 * @param {{ isTTY?: boolean }} stream
 * @returns {Paint}
 * @see https://no-color.org
 */
export function createPaint(stream) {
  if (!stream.isTTY || process.env.NO_COLOR) return (text) => text;
  return (text, ...colours) =>
    text === '' ? '' : `\x1b[${colours.map((name) => CODES[name]).join(';')}m${text}\x1b[0m`;
}

/** @param {number} ms */
export function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
