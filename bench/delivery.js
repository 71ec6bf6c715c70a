// @ts-check
import http from 'node:http';
import { hostname } from 'node:os';
import { createShutdownBus } from 'shutdown-bus';
import { webhookNotifier } from 'shutdown-bus/notifiers/webhook';
import { compare, measurePairs } from './pairs.js';
import { startProgram } from './processes.js';

export const about = '100,000 open jobs through webhookNotifier against a bare node:http loop';
export const defaultRounds = 15;

const JOBS = 100_000;
const BATCH_SIZE = 500;
const CONCURRENCY = 8;
const REASON = 'request';
const SERVICE = 'bench';

/**
 * Both sides have their jobs open in memory already, post to the same receiver in another process, begin without a
 * connection, and end when the last response was read.
 *
 * In, ours: what the shutdown's "report open jobs" handler does: the snapshot of the registry, the envelopes and
 * their JSON, batches by number and by bytes, webhookNotifier with axios, Standard Webhooks id and timestamp, receipts, every
 * job's outcome, the job's way out of the registry.
 * In, reference: out of a Map of jobs, one batch of 500 after the other, plain envelope objects of the same content,
 * JSON.stringify of the batch, a POST of it on a keep-alive agent, 8 at a time. The time of the report is written once.
 * It looks at the status and remembers nothing.
 * Out, on both sides: beginning the jobs, loading modules, everything after the last response. Ours leaves out the rest
 * of the shutdown too: handing the jobs' last words to the watchdog thread (the second row has it), and waiting for jobs to finish.
 * @param {number} rounds
 */
export async function run(rounds) {
  const receiver = startProgram('receiver.js');
  try {
    const { url } = await receiver.next();
    await checkArrival(url);
    /** @type {number[]} */
    const shutdowns = [];
    const ours = async () => {
      const { deliveryMs, shutdownMs } = await deliverByBus(url);
      shutdowns.push(shutdownMs);
      return (JOBS / deliveryMs) * 1000;
    };
    const reference = async () => (JOBS / (await deliverByLoop(url))) * 1000;
    const pairs = await measurePairs(rounds, ours, reference);
    return [
      compare({ name: 'delivery', unit: 'jobs/s', relation: 'ratio', goal: { atLeast: 0.9 } }, pairs),
      compare(
        { name: 'delivery: the whole shutdown, less its waits', unit: 'ms', relation: 'ratio', goal: null },
        pairs.map(({ reference }, round) => ({
          ours: shutdowns[round] ?? Number.NaN,
          reference: (JOBS / reference) * 1000,
        })),
      ),
    ];
  } finally {
    receiver.process.kill('SIGKILL');
  }
}

/** Before the clock runs: the receiver parses what it gets from both sides and counts every job. @param {string} url */
async function checkArrival(url) {
  for (const deliver of [deliverByBus, deliverByLoop]) {
    await deliver(`${url}/parse`);
    const { jobs } = /** @type {{ jobs: number }} */ (await (await fetch(`${url}/parsed`)).json());
    if (jobs !== JOBS) throw new Error(`${deliver.name}: ${jobs} of ${JOBS} jobs arrived`);
  }
}

const DRAIN_MS = 100;
const RESERVE_MS = 30_000;

/** @param {string} url */
async function deliverByBus(url) {
  const bus = createShutdownBus({
    service: SERVICE,
    exit: false,
    signals: [],
    fatalErrors: false,
    // Jobs that nobody will finish are waited for as shortly as can be.
    budgetMs: DRAIN_MS + RESERVE_MS,
    reserveMs: RESERVE_MS,
    releaseReserveMs: 0,
    interruptGraceMs: 0,
    notifiers: [webhookNotifier({ url, maxBatchSize: BATCH_SIZE, maxConcurrency: CONCURRENCY })],
    logger: { info: () => {}, warn: console.error, error: console.error },
  });
  for (let n = 0; n < JOBS; n += 1) bus.jobs.begin(jobNumber(n));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const report = await bus.requestShutdown();
  bus.dispose();
  const handler = report.handlers.find(({ name }) => name === 'report open jobs');
  if (report.jobs.delivered !== JOBS || !handler)
    throw new Error(`${report.jobs.delivered} jobs were delivered`);
  return { deliveryMs: handler.durationMs, shutdownMs: report.durationMs - DRAIN_MS };
}

/** @param {number} n */
function jobNumber(n) {
  return { type: 'render', payload: { page: n, format: 'pdf', customer: `customer-${n % 1000}` } };
}

/** @param {string} url */
async function deliverByLoop(url) {
  /** @type {Map<string, { type: string, payload: unknown, startedAt: number }>} */
  const open = new Map();
  for (let n = 0; n < JOBS; n += 1) open.set(String(n + 1), { ...jobNumber(n), startedAt: Date.now() });
  await new Promise((resolve) => setTimeout(resolve, 50));

  const startedAt = performance.now();
  const agent = new http.Agent({ keepAlive: true });
  const now = Date.now();
  const time = new Date(now).toISOString();
  const jobs = [...open];
  let position = 0;
  const work = async () => {
    while (position < jobs.length) {
      const batch = jobs.slice(position, position + BATCH_SIZE);
      position += BATCH_SIZE;
      await post(url, agent, JSON.stringify(batch.map(([id, job]) => plainEnvelope(id, job, now, time))));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  const ms = performance.now() - startedAt;
  agent.destroy();
  return ms;
}

const INSTANCE_ID = '0123456789ab';
const HOST = hostname();

/**
 * @param {string} id
 * @param {{ type: string, payload: unknown, startedAt: number }} job
 * @param {number} now
 * @param {string} time the same as a text
 */
function plainEnvelope(id, { type, payload, startedAt }, now, time) {
  return {
    specversion: '1.0',
    id: `${INSTANCE_ID}/${id}`,
    source: `/${SERVICE}/${INSTANCE_ID}`,
    type: 'shutdown-bus.job.incomplete',
    subject: id,
    time,
    datacontenttype: 'application/json',
    data: {
      jobType: type,
      payload,
      progress: null,
      startedAt: new Date(startedAt).toISOString(),
      elapsedMs: now - startedAt,
      outcome: 'interrupted',
      reason: REASON,
      service: SERVICE,
      instanceId: INSTANCE_ID,
      host: HOST,
      pid: process.pid,
    },
  };
}

/** @param {string} url @param {http.Agent} agent @param {string} body @returns {Promise<void>} */
function post(url, agent, body) {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/cloudevents-batch+json',
      'content-length': Buffer.byteLength(body),
    };
    const request = http.request(url, { method: 'POST', agent, headers }, (response) => {
      if (response.statusCode !== 204) reject(new Error(`the receiver answered ${response.statusCode}`));
      response.resume().on('end', resolve);
    });
    request.on('error', reject);
    request.end(body);
  });
}
