import type { TrackedRequest } from './tracked-request.js';

/**
 * Requests that a client sent without waiting for the answers to those before them. HTTP/1 answers them in their order, and
 * `Connection: close` on one of the answers ends the connection under all that follow: it belongs on the last.
 *
 * ```
 * GET /a  GET /b  GET /c ─▶
 *                        ◀─ a   b   c Connection: close
 * ```
 * @returns whether there is none behind it.
 */
export function isLastOfConnection({ client, next }: TrackedRequest): boolean {
  // Nearly always the only one: nothing is searched then.
  if (client.requests <= 1) return true;
  for (let later = next; later !== undefined; later = later.next) if (later.client === client) return false;
  return true;
}

/**
 * Makes an answer the last one on its connection, in the place of the one before it.
 * @returns whether it will be sent at all: not behind an answer that has told its client of the end already.
 */
export function closeConnectionAfter(record: TrackedRequest): boolean {
  const { response } = record;
  const before = ahead(record);
  if (before !== undefined && before.response.getHeader('connection') === 'close') {
    if (before.response.headersSent) return false;
    before.response.removeHeader('Connection');
  }
  // Sent without it, the connection goes idle afterwards and lingers like any other.
  if (!response.headersSent) response.setHeader('Connection', 'close');
  return true;
}

function ahead({ client, previous }: TrackedRequest): TrackedRequest | undefined {
  if (client.requests <= 1) return undefined;
  let before = previous;
  while (before !== undefined && before.client !== client) before = before.previous;
  return before;
}
