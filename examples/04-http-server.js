// @ts-check
// Shows: a server that is drained. Nobody who is connected gets a reset: short requests get their real answer, and one
//        that cannot finish gets a chosen answer, after its job was reported.
// Try:   node examples/04-http-server.js; run the curl line it prints elsewhere if you like; then Ctrl-C or the kill line.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Interrupt, jobs } from 'shutdown-bus';
import { drainServer } from 'shutdown-bus/http';

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
  const ms = Number(searchParams.get('ms') ?? 1000);
  try {
    // A job that is begun in a request belongs to it.
    await jobs.run({ type: 'page', payload: { pathname } }, (job) =>
      sleep(ms, undefined, { signal: job.signal }),
    );
    response.end('rendered\n');
  } catch (error) {
    // Interrupted by the shutdown: leave the response alone, drainServer answers.
    if (!Interrupt.isCauseOf(error)) response.writeHead(500).end();
  }
});

// Attach it before the server listens. /ready answers 200, and 503 from the first moment of the shutdown.
drainServer(server, {
  readinessPath: '/ready',
  answer: { status: 200, body: 'not rendered, but on record: it will be\n' },
});

server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
const address = `http://127.0.0.1:${port}`;

// Two clients, so that there is something to see without a second terminal.
for (const path of ['/short?ms=1000', '/long?ms=3600000']) {
  fetch(address + path).then(
    async (response) => console.log(`GET ${path}: ${response.status} ${(await response.text()).trim()}`),
    (error) => console.log(`GET ${path}: ${error.cause?.code ?? error.message}`),
  );
}
while (jobs.size < 2) await sleep(5);

console.log(`two requests are open; one more: curl '${address}/mine?ms=3600000'`);
console.log(`end this process with: kill -TERM ${process.pid}`);
