// @ts-check
import { describeMachine, formatTable } from './table.js';

/**
 * What a run came to.
 * @typedef {object} Results
 * @property {readonly import('./pairs.js').Row[]} rows
 * @property {readonly { name: string, error: string }[]} failures what could not be measured, and why
 */

/**
 * Prints a table or JSON on stdout, failures on stderr; these alone make the exit code 1.
 * @param {Results} results
 * @param {boolean} json
 * @param {readonly string[]} [heads] of the table
 */
export function printResults({ rows, failures }, json, heads) {
  if (json) console.log(JSON.stringify({ machine: describeMachine(), rows, failures }, null, 2));
  else if (rows.length > 0) console.log(formatTable(rows, heads));
  for (const { name, error } of failures) console.error(`${name} could not run: ${error}`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}
