// @ts-check
// Shows: jobs that outlive kill -9: the next start reports them, as if the dead could still speak.
// Try:   node examples/12-durable-store.js, end it with the line it prints, then the same again.
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { configureShutdown, jobs } from 'shutdown-bus';
import { lmdbStore } from 'shutdown-bus/stores/lmdb';

// In a service rather: SHUTDOWN_STORE=lmdb:/var/lib/orders/jobs. All processes of a machine may share one folder.
const path = join(tmpdir(), 'shutdown-bus-example-jobs');
const bus = configureShutdown({ service: 'orders', store: lmdbStore({ path }) });

bus.on('delivery', ({ envelope: { data } }) => {
  if (data.outcome === 'lost') console.log(`${data.jobType} was lost: ${data.detail}`);
});

const invoice = jobs.run({ type: 'invoice', payload: { order: 4711, card: 'visa' } }, async (job) => {
  for (let page = 1; page <= 36_000; page++) {
    // Goes into the store as well: whoever takes over knows where to go on.
    job.checkpoint({ page });
    await sleep(100, undefined, { signal: job.signal });
  }
});

console.log(`an invoice is being written; end this process with: kill -9 ${process.pid}`);
await Promise.allSettled([invoice]);
