// @ts-check
// B, the service: renders pages for whoever posts a job, with shutdown-bus around it.
// Started by run.js. Who is told about unfinished jobs comes from the environment (SHUTDOWN_WEBHOOK_URL, _SECRET),
// the budget from the platform (K_SERVICE is set: Cloud Run, 10 s).
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { defaultBus, jobs, subscribeShutdown } from 'shutdown-bus';
import { drainServer } from 'shutdown-bus/http';
import { note } from './ledger.js';

/** @typedef {{ id: string, workMs: number }} Order */

const PAGE_MS = 50;
const SAVE_MS = 120;
const bus = defaultBus();
let cuts = process.env.SABOTAGE === 'drop-answer' ? 1 : 0;

/**
 * The work: page after page, with a checkpoint after each. Told to stop, it saves what it has and passes that on.
 * @param {Order} order
 */
function render({ id, workMs }) {
  return jobs.run({ type: 'render', id, payload: { workMs } }, async (job) => {
    note('begun', { job: id });
    const pages = Math.ceil(workMs / PAGE_MS);
    try {
      for (let page = 1; page <= pages; page++) {
        await sleep(workMs / pages, undefined, { signal: job.signal });
        job.checkpoint({ page, pages });
      }
    } catch (error) {
      await sleep(SAVE_MS);
      throw error;
    }
    note('finished', { job: id });
  });
}

const server = createServer(async (request, response) => {
  const order = /** @type {Order} */ (await json(request));
  try {
    await render(order);
  } catch (error) {
    // Interrupted: drainServer answers this request, as soon as the report of its job was accepted.
    if (!bus.ready) return;
    throw error;
  }
  if (cuts-- > 0) return void response.destroy();
  response.writeHead(201, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ job: order.id, done: true }));
});

drainServer(server, {
  readinessPath: '/ready',
  answer: { status: 200, body: 'not finished here, and reported\n' },
});

subscribeShutdown(() => sleep(60), { name: 'leave the registry', phase: 'intake' });
subscribeShutdown(() => sleep(180), { name: 'flush metrics', priority: 50 });
subscribeShutdown(() => sleep(90), { name: 'close the database pool', phase: 'release' });
subscribeShutdown(() => sleep(40), { name: 'close the page cache', phase: 'release' });

bus.on('stopping', ({ openJobs }) => note('stopping', { openJobs }));
bus.on('handler-started', ({ name, phase }) => note('handler-started', { name, phase, open: jobs.size }));
bus.on('stopped', (report) => note('report', { report: { ...report, errors: report.errors.map(String) } }));

server.listen(0, '127.0.0.1', () => {
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const { budgetMs, reserveMs, releaseReserveMs, interruptGraceMs, platform } = bus.config;
  const reportBy = budgetMs - releaseReserveMs;
  // drainServer keeps this much of it for its answers.
  const stopBy = reportBy - reserveMs - Math.min(300, budgetMs / 10);
  const plan = [
    { name: 'finish', endMs: stopBy - interruptGraceMs },
    { name: 'stop', endMs: stopBy },
    { name: 'report, answer', endMs: reportBy },
    { name: 'close', endMs: budgetMs },
  ];
  note('ready', { port, budgetMs, reserveMs, interruptGraceMs, graceMs: platform.graceMs, plan });
});
