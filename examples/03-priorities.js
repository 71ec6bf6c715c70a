// @ts-check
// Shows: handlers in their order. Higher priorities first, equal ones together; a handler that fails or hangs costs
//        the others nothing, and the report names it.
// Try:   node examples/03-priorities.js, then Ctrl-C or the kill line it prints. Exit code 1, because of the two bad ones.
import { setTimeout as sleep } from 'node:timers/promises';
import { defaultBus, subscribeShutdown } from 'shutdown-bus';

const say = (/** @type {string} */ what) => async () => {
  console.log(what);
  await sleep(50);
};

// A phase is a name for a priority: intake 300, drain 200, deliver 100, release 0.
subscribeShutdown(say('5 together: close the database'), { name: 'database', phase: 'release' });
subscribeShutdown(say('5 together: close the cache'), { name: 'cache', phase: 'release' });
subscribeShutdown(say('1 leave the load balancer'), { name: 'load balancer', phase: 'intake' });

// It is given the reason, the time it has left, and a signal that aborts when that time is up.
subscribeShutdown(
  async ({ reason, remainingMs, signal }) => {
    console.log(`2 stop the consumer (${reason.kind}, ${remainingMs() > 100 ? 'time enough' : 'hurry'})`);
    await sleep(50, undefined, { signal });
  },
  { name: 'consumer', phase: 'drain' },
);

// A number of your own puts it between two phases: after the reports of unfinished jobs, before the release.
subscribeShutdown(say('4 flush the metrics'), { name: 'metrics', priority: 50 });

// Two that go wrong. The second never ends, but it has a limit.
subscribeShutdown(
  () => {
    console.log('3 mirror: fails');
    throw new Error('the mirror is broken');
  },
  { name: 'mirror', priority: 61 },
);
subscribeShutdown(
  () => {
    console.log('3 archive: hangs');
    return new Promise(() => {});
  },
  { name: 'archive', priority: 60, timeoutMs: 300 },
);

// Whoever watches the bus sees the report: every handler with its outcome and its times.
defaultBus().on('stopped', ({ handlers, durationMs, exitCode }) => {
  for (const { name, priority, outcome, durationMs } of handlers)
    console.log(`${String(priority).padStart(4)}  ${name.padEnd(20)} ${outcome.padEnd(10)} ${durationMs} ms`);
  console.log(`${durationMs} ms in all, exit code ${exitCode}`);
});

console.log(`running; end this process with: kill -TERM ${process.pid}`);
setInterval(() => {}, 60_000);
