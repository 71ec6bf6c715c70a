// @ts-check
// open-clients.js <port> <idle> <asking>: clients of a server that is about to be stopped.
//   <idle>     keep-alive connections that have asked one request each and ask no other
//   <asking>   such connections with a request in flight, answered 500 ms after it was asked
// Says { "dueAt": ms } when all of it is so: when the last answer is due (0: no such), on process.hrtime, which is the same for every
// process of a machine. Says { "cut": n } when the last of those requests has ended.
import { Connection } from './connection.js';

const ANSWER_MS = 500;
const AT_ONCE = 100;
const [port = 0, idle = 0, asking = 0] = process.argv.slice(2).map(Number);

/** @param {unknown} fact */
const say = (fact) => process.stdout.write(`${JSON.stringify(fact)}\n`);

await openAll(idle);
const waiting = await openAll(asking);
const endings = waiting.map((connection) => ask(connection, `/wait?${ANSWER_MS}`));
const dueAt = asking > 0 ? Number(process.hrtime.bigint()) / 1e6 + ANSWER_MS : 0;
// A server reads what arrived first first: once this is answered, it has all of the above.
const last = await asked(new Connection(port));
last.close();
say({ dueAt });
const answered = await Promise.all(endings);
say({ cut: answered.filter((whole) => !whole).length });

/** @param {number} count */
async function openAll(count) {
  const connections = [];
  while (connections.length < count) {
    const some = Array.from({ length: Math.min(AT_ONCE, count - connections.length) }, () =>
      asked(new Connection(port)),
    );
    connections.push(...(await Promise.all(some)));
  }
  return connections;
}

/** A connection after its first request. @param {Connection} connection */
async function asked(connection) {
  if (!(await ask(connection, '/'))) throw new Error('a request before the signal was not answered');
  return connection;
}

/** @param {Connection} connection @param {string} path @returns {Promise<boolean>} whether it was answered */
function ask(connection, path) {
  return new Promise((resolve) => connection.ask(path, resolve));
}
