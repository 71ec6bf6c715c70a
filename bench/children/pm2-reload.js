// @ts-check
// pm2-reload.js <folder of PM2>: for every line on stdin asks the PM2 of PM2_HOME to reload, as `pm2 reload all` does, and says when
// that is over. A command line each time would take the processor from the services for as long as PM2 takes to load.
// Ends with its stdin.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const pm2 = createRequire(import.meta.url)(process.argv[2] ?? '');

await promisify(pm2.connect).call(pm2);
for await (const _line of createInterface({ input: process.stdin })) {
  await promisify(pm2.reload).call(pm2, 'all');
  process.stdout.write('{}\n');
}
process.exit(0);
