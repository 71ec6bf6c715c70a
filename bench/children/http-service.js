// @ts-check
// http-service.js <helper> [settings as JSON]: an HTTP server that ends the way one of ../peers.js does it.
//   GET /       answered at once          GET /wait?500   answered 500 ms later
//   GET /ready  200, where the helper does not answer it itself
import { createServer } from 'node:http';
import { HELPERS } from '../peers.js';

const [name = '', json = '{}'] = process.argv.slice(2);
const { port = 0, healthPort = 0, lameDuckMs = 0, idleLingerMs = 250 } = JSON.parse(json);
const body = 'Hello, World!';

const server = createServer((request, response) => {
  const delay = request.url?.startsWith('/wait?') ? Number(request.url.slice(6)) : 0;
  if (delay > 0) setTimeout(answer, delay, response);
  else answer(response);
});

/** @param {import('node:http').ServerResponse} response */
function answer(response) {
  response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': body.length });
  response.end(body);
}

const help = HELPERS[/** @type {keyof typeof HELPERS} */ (name)];
const listening = await help({ server, lameDuckMs, healthPort, idleLingerMs });
server.listen({ port, host: '127.0.0.1', backlog: 4096 }, () => {
  listening?.();
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  process.stdout.write(`${JSON.stringify({ port: address.port })}\n`);
});
