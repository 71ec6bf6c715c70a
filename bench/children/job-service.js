// @ts-check
// job-service.js none|memory|lmdb:<folder>|redis://…: a drained HTTP server, each request of which is a job kept there, or none at all.
import { createServer } from 'node:http';
import { configureShutdown, jobs } from 'shutdown-bus';
import { drainServer } from 'shutdown-bus/http';

const [store = 'none'] = process.argv.slice(2);
if (store !== 'none' && store !== 'memory') process.env.SHUTDOWN_STORE = store;
configureShutdown({ logger: { info: () => {}, warn: () => {}, error: console.error } });
const body = 'Hello, World!';

const server = createServer((request, response) => {
  if (store === 'none') answer(response);
  else void jobs.run({ type: 'answer', payload: { url: request.url } }, () => answer(response));
});
drainServer(server);
server.listen(0, '127.0.0.1', () => {
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  process.stdout.write(`${JSON.stringify({ port })}\n`);
});

/** @param {import('node:http').ServerResponse} response */
function answer(response) {
  response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': body.length });
  response.end(body);
}
