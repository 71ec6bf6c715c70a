// @ts-check
// Shows: a BullMQ worker that is drained. The job it cannot finish is reported and goes back to its queue, and another
//        worker goes on with it at once: not a failed attempt, not a stalled job.
// Try:   node examples/11-bullmq.js; then Ctrl-C or the kill line. REDIS_URL uses your Redis; else it starts redis-server.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';
import { subscribeShutdown } from 'shutdown-bus';
import { drainWorker } from 'shutdown-bus/queues/bullmq';

const connection = await redis();
const name = `films-${process.pid}`;
const queue = new Queue(name, { connection });

const worker = new Worker(
  name,
  async (job, _token, signal) => {
    for (let frame = 1; ; frame++) {
      await sleep(50, undefined, { signal }); // rejects when the shutdown wants the job to stop
      await job.updateProgress({ frame });
    }
  },
  { connection },
);
drainWorker(worker);

// Stands for the next instance of the service. After the release phase's own handlers, which close the worker above.
subscribeShutdown(anotherInstance, { name: 'another instance', priority: -10, reserveMs: 500 });
subscribeShutdown(() => queue.obliterate({ force: true }), { name: 'tidy up', priority: -20 });

await queue.add('encode', { film: 'Metropolis' });
await once(worker, 'progress');
console.log(`encoding; end this process with: kill -TERM ${process.pid}`);

async function anotherInstance() {
  const next = new Worker(name, async () => {}, { connection });
  const [{ data, progress, attemptsMade }] = await once(next, 'completed');
  console.log(`another worker went on with ${data.film} at`, progress, `in attempt ${attemptsMade}`);
  await next.close();
}

/** Your Redis, or one that lives as long as this process. */
async function redis() {
  if (process.env.REDIS_URL) return { url: process.env.REDIS_URL };
  const port = 20_000 + (process.pid % 10_000);
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--save', ''];
  const server = spawn('redis-server', options, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  server.on('error', () => {
    console.error('This example needs Redis: install redis-server, or set REDIS_URL to one that is there.');
    process.exit(1);
  });
  process.on('exit', () => server.kill());
  for await (const text of server.stdout) if (String(text).includes('Ready to accept')) break;
  return { host: '127.0.0.1', port };
}
