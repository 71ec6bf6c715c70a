// @ts-check
// idle-service.js bare|bus|handler: an HTTP server with nothing to do, until SIGTERM.
import { createServer } from 'node:http';

const kind = process.argv[2];
if (kind === 'bare') process.on('SIGTERM', () => process.exit(0));
else {
  const { defaultBus, subscribeShutdown } = await import('shutdown-bus');
  defaultBus();
  if (kind === 'handler') subscribeShutdown(function nothingToDo() {});
}
createServer().listen(0, '127.0.0.1', () => process.stdout.write('"ready"\n'));
