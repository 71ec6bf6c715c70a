// @ts-check
// Shows: a primary with two workers on one port. One is killed, its open job is reported at once, and its place is taken; then a
//        rolling reload, in which the service goes on answering.
// Try:   node examples/15-supervisor.js; then Ctrl-C, or the kill line; kill -HUP reloads once more.
import cluster from 'node:cluster';
import { createServer } from 'node:http';
import { jobs } from 'shutdown-bus';
import { supervise } from 'shutdown-bus/supervisor';

const PORT = Number(process.env.PORT ?? 3015);

if (cluster.isPrimary) await primary();
else worker();

/** Usually a program of its own, and `shutdown-bus run` its primary. */
function worker() {
  createServer((request, response) => {
    if (request.url === '/order') jobs.begin({ type: 'order', payload: { worker: process.pid } });
    response.end(`${process.pid}`);
  }).listen(PORT, '127.0.0.1');
}

async function primary() {
  const supervisor = supervise({ exec: new URL(import.meta.url), workers: 2 });
  supervisor.on('worker-ended', ({ id, signal, unexpected }) => {
    if (unexpected) console.log(`worker ${id} ended by ${signal}`);
  });
  await new Promise((resolve) => supervisor.once('ready', resolve));

  const victim = Number(await ask('/order'));
  process.kill(victim, 'SIGKILL');
  await new Promise((resolve) => supervisor.once('worker-ready', resolve));
  console.log(`still answered: ${(await ask('/')) !== ''}`);

  const { outcome, workers } = await supervisor.reload();
  console.log(`${outcome}: ${workers} workers`);
  console.log(`supervising: ${supervisor.state().ready} workers; end it with: kill -TERM ${process.pid}`);
}

/** @param {string} path */
async function ask(path) {
  const response = await fetch(`http://127.0.0.1:${PORT}${path}`);
  return response.text();
}
