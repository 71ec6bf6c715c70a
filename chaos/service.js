// @ts-check
// The process that dies: jobs begin, come further and finish at random, until the blow falls. Started by run.js on the default
// bus, with everything in environment variables. What it has done it tells on its pipe, file 3, one line a fact; a line has
// left the process when the call returns:
//
//   r <instance>                 its bus is there
//   b <instance> <nr> <id>       a job was acknowledged: `begin` has returned, with Redis `stored` has resolved
//   c <instance> <nr> <step>     a checkpoint has returned
//   f <instance> <nr>            a job is about to be completed
//   f <instance> <nr> late       the same, and its report may be on its way already
//   i                            all jobs that were planned have begun
//   x                            the event loop is about to be blocked
//   w                            the store works again, and holds all open jobs
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { defaultBus, isShutdownError, jobs } from 'shutdown-bus';
import { makeId, makePayload } from './payload.js';
import { Random } from './random.js';
import { tell } from './tell.js';
import { WAYS } from './ways.js';

/** @typedef {import('shutdown-bus').Job} Job */

/** @type {import('./plan.js').Plan} */
const plan = JSON.parse(process.env.CHAOS_PLAN ?? '');
const way = /** @type {import('./ways.js').Way} */ (WAYS[plan.way]);
const random = new Random(`${plan.seed}/life`);
const bus = defaultBus();
/** With Redis a record is on its way when `begin` returns. */
const isKeptLater = process.env.SHUTDOWN_STORE?.startsWith('redis') ?? false;
const sabotage = process.env.CHAOS_SABOTAGE;
/** @type {Set<NodeJS.Timeout>} */
const timers = new Set([setInterval(() => {}, 60_000)]);
/** @type {string[]} ids whose jobs were completed: whoever chooses ids may choose one again */
const used = [];
/** @type {WeakSet<Job>} those that run into their own time limit, and are reported then: they come no further */
const limited = new WeakSet();
let acknowledged = 0;
/** No job is begun, comes further or is finished any more: the loop is to run empty. */
let still = false;
/** The snapshot was taken, or the deadline is near: what a job does from here on is in no report. */
let sealed = false;
let stoppingBy = Number.POSITIVE_INFINITY;
/** The part of the budget in which jobs go on. The watchdog reads their last words at its end, a little before it says them. */
const WORKING_SHARE = 0.7;

const self = { bus, tell, standStill, random };
bus.on('stopping', ({ budgetMs }) => {
  stoppingBy = performance.now() + budgetMs * WORKING_SHARE;
});
bus.on('handler-started', ({ name }) => {
  if (name === 'report open jobs') sealed = true;
});
bus.on('store-restored', () => tell('w'));
way.prepare?.(self);
if (sabotage === 'hang') bus.subscribeShutdown(hang, { name: 'hang' });
tell(`r ${bus.instanceId}`);
if (plan.moment === 'ready' || plan.moment === 'starting') await strike();
await live();

/** Begins one job after the other, some in the same turn. */
async function live() {
  /** @type {Promise<void>[]} */
  const pending = [];
  for (let nr = 1; nr <= plan.jobs && !still; nr += 1) {
    const begun = begin(nr);
    if (begun === undefined) return;
    if (isKeptLater) pending.push(begun.stored.then(() => acknowledge(begun, nr)));
    else await acknowledge(begun, nr);
    if (random.chance(0.3)) await turn();
    if (random.chance(0.2)) await sleep(random.whole(0, 4));
  }
  await Promise.all(pending);
  if (!still) tell('i');
  if (plan.moment === 'idle') await strike();
}

/** @param {number} nr @returns {Job | undefined} nothing when the shutdown is past its snapshot */
function begin(nr) {
  const again = random.chance(0.1) ? used.pop() : undefined;
  const payload = makePayload(bus.instanceId, nr, random);
  const id = again ?? makeId(nr, random);
  const limits = again === undefined && random.chance(0.05) ? drawLimits() : undefined;
  try {
    const job = jobs.begin({ type: 'chaos', payload, ...(id !== undefined && { id }), ...limits });
    if (limits !== undefined) limited.add(job);
    return job;
  } catch (error) {
    if (isShutdownError(error, 'REGISTRY_SEALED')) return undefined;
    // Somebody else has got that number meanwhile.
    if (isShutdownError(error, 'JOB_ID_TAKEN')) return jobs.begin({ type: 'chaos', payload });
    throw error;
  }
}

function drawLimits() {
  const timeoutMs = random.whole(1, 50);
  return { timeoutMs, gracefulTimeoutMs: timeoutMs + random.whole(1, 20) };
}

/** @param {Job} job @param {number} nr */
async function acknowledge(job, nr) {
  tell(`b ${bus.instanceId} ${nr} ${JSON.stringify(job.id)}`);
  acknowledged += 1;
  work(job, nr);
  if (plan.moment === 'begins' && acknowledged === plan.after) await strike();
}

/** What becomes of a job: a third is finished, some when they are told to stop; the others go on until the end. */
function work(/** @type {Job} */ job, /** @type {number} */ nr) {
  let step = 0;
  let isOpen = true;
  const checkpoint = () => {
    // It ignores what comes after its end, and nobody is held to that.
    if (!isOpen || still || isLate()) return;
    step += 1;
    job.checkpoint({ nr, step });
    tell(`c ${bus.instanceId} ${nr} ${step}`);
  };
  const finish = () => {
    if (still) return;
    isOpen = false;
    tell(`f ${bus.instanceId} ${nr}${isLate() ? ' late' : ''}`);
    if (sabotage !== 'keep-finished') job.complete();
    used.push(job.id);
  };
  if (limited.has(job)) return;
  if (random.chance(0.3)) checkpoint();
  for (let count = random.whole(0, 3); count > 0; count -= 1) later(random.whole(0, 60), checkpoint);
  const fate = random.next();
  if (fate < 0.35) later(random.whole(0, 80), finish);
  else if (fate < 0.45) job.stopping.addEventListener('abort', () => later(random.whole(0, 300), finish));
  else if (fate < 0.6) job.signal.addEventListener('abort', checkpoint);
}

/** Whether reports may be on their way already. */
function isLate() {
  return sealed || performance.now() > stoppingBy;
}

/** @param {number} ms @param {() => void} act */
function later(ms, act) {
  if (still) return;
  const timer = setTimeout(() => {
    timers.delete(timer);
    act();
  }, ms);
  timers.add(timer);
}

/** The blow, when it comes from within. */
async function strike() {
  if (way.within === undefined) return;
  if (plan.pauseMs > 0) await sleep(plan.pauseMs);
  way.within(self);
}

function standStill() {
  still = true;
  for (const timer of timers) clearTimeout(timer);
}

/** Whoever comes here never goes on. */
function hang() {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
