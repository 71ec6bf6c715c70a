// @ts-check
import { writeSync } from 'node:fs';

/**
 * One line of a ledger: something that happened in a process, and when.
 * @typedef {{ at: number, event: string, [fact: string]: any }} Entry
 */

/** Milliseconds on the machine's monotonic clock: the same clock in every process of the demo. */
export function now() {
  return Number(process.hrtime.bigint()) / 1e6;
}

/**
 * Writes one line to this process's ledger, its stdout. The line has left the process when the call returns, so that
 * not even SIGKILL can take it back.
 * @param {string} event
 * @param {Record<string, unknown>} [facts]
 */
export function note(event, facts = {}) {
  writeSync(1, `${JSON.stringify({ at: now(), event, ...facts })}\n`);
}
