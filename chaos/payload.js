// @ts-check
import { createHash } from 'node:crypto';

/** @typedef {import('./random.js').Random} Random */

/**
 * What a job carries: enough to see that it is this job's, and whole.
 * @typedef {{ nr: number, body: string, sum: string }} Payload
 */

const MOST_LENGTH = 100_000;
/** Whatever JSON, a pipe, a database or a terminal might trip over. */
const TEXT =
  '"quoted" \\ back\\\\slash\n\r\t\u0000\u001b[31m \u2028\u2029 é 漢字 😀 </script> {"specversion":"1.0"} ';
const STOCK = TEXT.repeat(Math.ceil(MOST_LENGTH / TEXT.length) + 1);

/** Ids that somebody might choose, kindly or not. */
const HOSTILE_IDS = [
  'a/b/c',
  '../../../etc/passwd',
  ' ',
  'line\nbreak',
  '\u0000',
  '"',
  '\\',
  '😀',
  '\ud800',
  '__proto__',
  'constructor',
  '~',
  `~${'0'.repeat(64)}`,
  'job/0',
  'null',
  '1',
  'x'.repeat(300),
  'é'.repeat(2000),
  '%2e%2e%2f',
  '{"specversion"',
];

/**
 * Most are small, few are 100 KB: each size as likely as its double.
 * @param {string} instanceId @param {number} nr @param {Random} random
 * @returns {Payload}
 */
export function makePayload(instanceId, nr, random) {
  const length = Math.floor((MOST_LENGTH + 1) ** random.next()) - 1;
  const start = random.whole(0, TEXT.length - 1);
  const body = STOCK.slice(start, start + length);
  return { nr, body, sum: checksum(instanceId, nr, body) };
}

/** Whether it is that job's and whole. @param {string} instanceId @param {any} payload */
export function isWhole(instanceId, payload) {
  if (typeof payload?.body !== 'string') return false;
  return payload.sum === checksum(instanceId, payload.nr, payload.body);
}

/** An id nobody has, `undefined` for a number of the registry's own. @param {number} nr @param {Random} random */
export function makeId(nr, random) {
  if (random.chance(0.3)) return undefined;
  return random.chance(0.5) ? `order-${nr}` : `${random.pick(HOSTILE_IDS)}${nr}`;
}

/** @param {string} instanceId @param {number} nr @param {string} body */
function checksum(instanceId, nr, body) {
  return createHash('sha1').update(`${instanceId} ${nr} ${body}`).digest('base64');
}
