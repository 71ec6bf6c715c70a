// @ts-check
// primary.js <application> <workers> <disconnect|SIGTERM>: a primary as the documentation of node:cluster writes it.
// SIGHUP replaces the workers one by one and says `reloaded`; SIGTERM ends them all.
import cluster from 'node:cluster';
import { once } from 'node:events';

const [exec = '', workers = '2', how] = process.argv.slice(2);
/** The documentation's own: a worker that was disconnected and is still there is killed after it. */
const PATIENCE_MS = 2000;

cluster.setupPrimary({ exec });
for (let count = 0; count < Number(workers); count += 1) cluster.fork();

process.on('SIGHUP', async () => {
  for (const old of runningWorkers()) {
    await once(cluster.fork(), 'listening');
    await end(old);
  }
  console.log('reloaded');
});

process.once('SIGTERM', async () => {
  await Promise.all(runningWorkers().map(end));
  process.exit(0);
});

/** @param {import('node:cluster').Worker} worker */
async function end(worker) {
  const exited = once(worker, 'exit');
  if (how === 'SIGTERM') {
    worker.kill();
    await exited;
    return;
  }
  worker.disconnect();
  // The documentation's example stops this clock at `disconnect`; kept-alive connections would hold the worker for good.
  const timer = setTimeout(() => worker.kill(), PATIENCE_MS);
  await exited;
  clearTimeout(timer);
}

function runningWorkers() {
  return Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
}
