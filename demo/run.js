// @ts-check
// The demo: three real processes, one real SIGTERM, and the sums afterwards. `node demo/run.js --help` says more.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { Webhook } from 'standardwebhooks';
import { Actor } from './actor.js';
import { now } from './ledger.js';
import { readOptions } from './options.js';
import { heading, paint, print, printChecks, printTable, printVerdict, tell } from './page.js';
import { addUp, check } from './sums.js';
import { drawTimeline } from './timeline.js';

/** @typedef {import('./options.js').DemoOptions} DemoOptions */

const GRACE_MS = 10_000;

const options = readOptions(process.argv.slice(2));
if (!existsSync(new URL('../dist/src/index.js', import.meta.url))) {
  process.stderr.write('demo: the package is not built yet; run: npm run build\n');
  process.exit(2);
}
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']))
  process.once(signal, () => process.exit(130)); // and with it every child, see actor.js
process.exitCode = await play(options).catch((error) => {
  process.stderr.write(`demo: ${error.message}\n`);
  return 1;
});

/**
 * The whole story.
 * @param {DemoOptions} options
 */
async function play(options) {
  print('', `${paint('shutdown-bus', 'bold')}: the last ten seconds of a service`, '');
  if (options.sabotage) print(paint(`Sabotage: ${options.sabotage}. The sums must fail.`, 'yellow'), '');
  const secret = `whsec_${randomBytes(32).toString('base64')}`;

  // 1. C, then B that knows C by environment variables alone, then A.
  const { agent, reportUrl } = await startAgent(secret, options);
  const { service, serviceUrl, ready } = await startService(secret, reportUrl, options);
  const forgedStatus = await forgeReport(reportUrl);
  const load = await startLoad(serviceUrl, options);

  // 2. The SIGTERM, while some jobs are finished, some open, and some requests not even accepted.
  await service.until('finished', Math.round(options.jobs * 0.35));
  const signalledAt = await terminate(service, load, options);

  // 3. Ten seconds, not one more.
  const gone = await watchTheEnd(service, agent, ready);
  await load.gone;
  agent.child.kill('SIGTERM');
  await agent.gone;

  // 4. The sums.
  const books = { load: load.ledger, service: service.ledger, agent: agent.ledger };
  const sums = addUp({ ...books, signalledAt, gone, graceMs: GRACE_MS, forgedStatus });
  const checks = check(sums);
  printPage(sums, checks, { ...books, signalledAt, ready, words: service.words });
  return checks.every(({ right }) => right) ? 0 : 1;
}

/** @param {string} secret @param {DemoOptions} options */
async function startAgent(secret, { sabotage }) {
  const agent = new Actor('monitoring-agent.js', { WEBHOOK_SECRET: secret, SABOTAGE: sabotage });
  const { port } = await agent.until('ready');
  tell('C', `monitoring agent, pid ${agent.pid}, 127.0.0.1:${port}, believes only what is signed`);
  return { agent, reportUrl: `http://127.0.0.1:${port}/reports` };
}

/** @param {string} secret @param {string} reportUrl @param {DemoOptions} options */
async function startService(secret, reportUrl, { sabotage, ...options }) {
  const budgetMs = sabotage === 'overstay' ? 30_000 : options.budgetMs;
  const service = new Actor('service.js', {
    K_SERVICE: 'page-renderer',
    SHUTDOWN_WEBHOOK_URL: reportUrl,
    SHUTDOWN_WEBHOOK_SECRET: secret,
    ...(budgetMs !== undefined && { SHUTDOWN_BUDGET_MS: String(budgetMs) }),
    SABOTAGE: sabotage,
  });
  const ready = await service.until('ready');
  const limit = `${ready.budgetMs / 1000} s of Cloud Run's ${ready.graceMs / 1000} s`;
  tell('B', `the service, pid ${service.pid}, 127.0.0.1:${ready.port}, plans with ${limit}`);
  return { service, ready, serviceUrl: `http://127.0.0.1:${ready.port}/` };
}

/**
 * Somebody without the secret tells C that a job was not finished.
 * @param {string} reportUrl
 */
async function forgeReport(reportUrl) {
  const body = JSON.stringify([{ id: 'forged/long-001', subject: 'long-001', data: { progress: null } }]);
  const stranger = new Webhook(randomBytes(32).toString('base64'));
  const sentAt = new Date();
  const headers = {
    'webhook-id': 'forged',
    'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1000)),
    'webhook-signature': stranger.sign('forged', sentAt, body),
  };
  const { status } = await fetch(reportUrl, { method: 'POST', headers, body });
  tell('C', `got a forged report and answered ${status}`);
  return status;
}

/** @param {string} serviceUrl @param {DemoOptions} options */
async function startLoad(serviceUrl, { jobs, late, seed }) {
  const load = new Actor('load.js', {
    SERVICE_URL: serviceUrl,
    JOBS: String(jobs),
    LATE: String(late),
    SEED: String(seed),
  });
  await load.until('on-its-way');
  tell('A', `posts ${jobs} jobs at once, short and long ones (seed ${seed})`);
  return load;
}

/**
 * Holds B for a moment, as a busy loop would, so that the late requests are on the wire when the signal comes.
 * @param {Actor} service
 * @param {Actor} load
 * @param {DemoOptions} options
 */
async function terminate(service, load, { late }) {
  const open = service.all('begun').length - service.all('finished').length;
  tell('B', `${service.all('finished').length} jobs are finished, ${open} under way`);
  process.kill(service.pid, 'SIGSTOP');
  load.child.stdin.end('now\n');
  const { fresh, reused } = await load.until('late-on-its-way');
  if (late > 0) tell('A', `posts ${late} more while B is held for a moment and sees none of them:`);
  if (late > 0) tell('A', `${fresh} wait in the kernel's backlog, ${reused} on connections that idled`);
  const signalledAt = now();
  process.kill(service.pid, 'SIGTERM');
  process.kill(service.pid, 'SIGCONT');
  tell('B', paint('gets SIGTERM', 'yellow', 'bold'));
  return signalledAt;
}

/**
 * Tells what B and C do, and does to B at 10 s what the platform would do.
 * @param {Actor} service
 * @param {Actor} agent
 * @param {import('./ledger.js').Entry} ready
 */
async function watchTheEnd(service, agent, ready) {
  const every = setInterval(() => tell('B', `${countOpen(service)} jobs under way`), 1000);
  const kill = setTimeout(() => {
    tell('B', paint(`is still there after ${GRACE_MS / 1000} s and gets SIGKILL`, 'red', 'bold'));
    clearInterval(every);
    service.child.kill('SIGKILL');
  }, GRACE_MS);
  const { reserveMs, interruptGraceMs } = ready;
  service.on('handler-started', ({ name, open }) => {
    if (name === 'interrupt open jobs' && open > 0)
      tell('B', `interrupts ${open} jobs; they have ${interruptGraceMs} ms to save what they have`);
    if (name === 'report open jobs') {
      clearInterval(every);
      tell('B', `reports ${open} jobs to C; ${reserveMs} ms were kept for that`);
    }
  });
  agent.on('batch', ({ size }) => tell('C', `accepts ${size} reports, signed, in one request`));
  const gone = await service.gone;
  clearTimeout(kill);
  clearInterval(every);
  tell('B', `is gone, ${gone.signal ?? `exit code ${gone.code}`}`);
  return gone;
}

/** @param {Actor} service */
function countOpen(service) {
  return service.all('begun').length - service.all('finished').length;
}

/**
 * @param {import('./sums.js').Sums} sums
 * @param {import('./sums.js').Check[]} checks
 * @param {{ service: import('./ledger.js').Entry[], agent: import('./ledger.js').Entry[], signalledAt: number, ready: import('./ledger.js').Entry, words: string[] }} story
 */
function printPage(sums, checks, { service, agent, signalledAt, ready, words }) {
  const happened = [...service, ...agent];
  const openJobs = (/** @type {number} */ ms) =>
    happened
      .filter(({ at }) => at <= signalledAt + ms)
      .reduce(
        (open, { event }) => open + Number(event === 'begun') - Number(/^(finished|reported)$/.test(event)),
        0,
      );
  if (sums.report) {
    heading('The shutdown, as B reported it');
    print(...drawTimeline({ report: sums.report, graceMs: GRACE_MS, plan: ready.plan, openJobs }, paint));
  }
  heading('The books');
  printTable(sums);
  heading('The sums');
  printChecks(checks);
  printVerdict(checks, words);
}
