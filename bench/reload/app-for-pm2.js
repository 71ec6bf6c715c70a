// @ts-check
// The same service with what the documentation of PM2 has an application do: say when it is ready, and close upon SIGINT.
// @see https://pm2.keymetrics.io/docs/usage/signals-clean-restart/
import { createServer } from 'node:http';
import { answer } from './answer.js';

const server = createServer(answer);
server.listen(Number(process.env.PORT), '127.0.0.1', () => process.send?.('ready'));
process.on('SIGINT', () => {
  server.close((error) => process.exit(error ? 1 : 0));
});
