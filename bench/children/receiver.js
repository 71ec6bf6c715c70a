// @ts-check
// receiver.js: prints { url }, then takes whatever is posted there. Under /parse it also counts the jobs, for /parsed.
import { createServer } from 'node:http';

let jobs = 0;
const server = createServer(async (request, response) => {
  if (request.url === '/parsed') {
    response.end(JSON.stringify({ jobs }));
    jobs = 0;
    return;
  }
  const parsed = request.url === '/parse';
  const chunks = [];
  for await (const chunk of request) if (parsed) chunks.push(chunk);
  if (parsed) jobs += JSON.parse(Buffer.concat(chunks).toString()).length;
  response.writeHead(204).end();
});
server.listen(0, '127.0.0.1', () => {
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`);
});
