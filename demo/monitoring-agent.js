// @ts-check
// C, the monitoring agent: takes reports of unfinished jobs, and only those that bear the right signature.
// Started by run.js; knows nothing of shutdown-bus, only CloudEvents and Standard Webhooks.
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';
import { note } from './ledger.js';

const webhook = new Webhook(String(process.env.WEBHOOK_SECRET));
const seen = new Set();
let forgets = process.env.SABOTAGE === 'lose-report' ? 1 : 0;

const server = createServer(async (request, response) => {
  const body = await buffer(request);
  /** @type {any[]} */
  let reports;
  try {
    reports = [webhook.verify(body, /** @type {Record<string, string>} */ (request.headers))].flat();
  } catch (error) {
    note('refused', { why: error instanceof Error ? error.message : String(error) });
    response.writeHead(401).end('not signed with our secret\n');
    return;
  }
  // What the sabotage is: a report that was accepted and is in nobody's books.
  const kept = reports.slice(Math.min(forgets, reports.length));
  forgets -= reports.length - kept.length;
  for (const { id, subject, data } of kept) {
    note('reported', { job: subject, progress: data.progress, again: seen.has(id) });
    seen.add(id);
  }
  note('batch', { size: reports.length });
  response.writeHead(204).end();
});

server.listen(0, '127.0.0.1', () =>
  note('ready', { port: /** @type {import('node:net').AddressInfo} */ (server.address()).port }),
);

process.once('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
