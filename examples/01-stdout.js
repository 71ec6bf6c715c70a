// @ts-check
// Shows: with nothing configured, every job that cannot finish becomes one JSON line on stdout.
// Try:   node examples/01-stdout.js, then Ctrl-C or the kill line it prints. The shutdown waits a few seconds for the
//        jobs, lets the short one finish, stops the long one and prints where it was. Exit code 0.
import { setTimeout as sleep } from 'node:timers/promises';
import { jobs } from 'shutdown-bus';

// A job is whatever somebody would miss. This one is done in a second, before or during the shutdown.
const thumbnail = jobs.run({ type: 'thumbnail', payload: { image: 7 } }, async () => {
  await sleep(1000);
  console.log('the thumbnail is done');
});

// This one takes an hour. It looks at job.signal, which aborts when there is no more time to finish,
// and says how far it has come: the last checkpoint is in the report.
const film = jobs.run({ type: 'encode', payload: { film: 'Metropolis' } }, async (job) => {
  for (let frame = 1; frame <= 36_000; frame++) {
    await sleep(100, undefined, { signal: job.signal });
    job.checkpoint({ frame });
  }
});

console.log(`${jobs.size} jobs are open; end this process with: kill -TERM ${process.pid}`);

// The interrupted job rejects. Its report needs nothing from us any more.
const [, encoded] = await Promise.allSettled([thumbnail, film]);
console.log(`the film is ${encoded.status === 'fulfilled' ? 'done' : 'not done, somebody will hear of it'}`);
