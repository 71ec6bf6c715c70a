// @ts-check
// load-client.js: loads one server at a time. On stdin, a line each: { "port": 8080, "ms": 250 }; on stdout, a line
// for each: { "answers": 4711, "ms": 250.3 }. Connections to a port stay open from one line to the next.
import { createInterface } from 'node:readline';
import { Connection } from './connection.js';

const CONNECTIONS = 16;
/** @type {Map<number, Connection[]>} */
const connections = new Map();

for await (const line of createInterface({ input: process.stdin })) {
  const { port, ms } = JSON.parse(line);
  const open = connections.get(port) ?? Array.from({ length: CONNECTIONS }, () => new Connection(port));
  connections.set(port, open);
  process.stdout.write(`${JSON.stringify(await load(open, ms))}\n`);
}
process.exit(0);

/**
 * Each connection asks its next request when the last one was answered, for `ms` milliseconds.
 * @param {readonly Connection[]} open
 * @param {number} ms
 * @returns {Promise<{ answers: number, ms: number }>}
 */
function load(open, ms) {
  return new Promise((resolve, reject) => {
    let answers = 0;
    let busy = open.length;
    const startedAt = performance.now();
    const endsAt = startedAt + ms;
    for (const connection of open) {
      /** @param {boolean} answered */
      const next = (answered) => {
        if (!answered) return reject(new Error('a connection under load was closed'));
        answers += 1;
        const now = performance.now();
        if (now < endsAt) return connection.ask('/', next);
        busy -= 1;
        if (busy === 0) resolve({ answers, ms: now - startedAt });
      };
      connection.ask('/', next);
    }
  });
}
