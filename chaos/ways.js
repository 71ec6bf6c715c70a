// @ts-check
import { setTimeout as sleep } from 'node:timers/promises';

/** @typedef {'memory' | 'lmdb' | 'redis'} StoreName */
/** @typedef {import('./child.js').Ending} Ending */

/**
 * A process that is about to die, from outside.
 * @typedef {object} Victim
 * @property {() => Promise<boolean>} moment resolves when its moment has come; `false` when it ended before
 * @property {(signal: NodeJS.Signals) => void} signal
 * @property {(text: string) => Promise<boolean>} said resolves when it said that on stderr; `false` when it ended without
 * @property {(fact: string) => Promise<boolean>} told the same for its pipe, from now on; see service.js
 * @property {() => Promise<boolean>} delivering resolves when the far end has its report and has not answered
 * @property {() => Promise<void>} together resolves when all processes of its round have come to this point, or ended
 * @property {() => Promise<void>} restartStore once for the whole round
 * @property {import('./random.js').Random} random
 */

/**
 * A process that is about to die, from within.
 * @typedef {object} Self
 * @property {import('shutdown-bus').ShutdownBus} bus
 * @property {(fact: string) => void} tell
 * @property {() => void} standStill lets go of everything that keeps the process alive
 * @property {import('./random.js').Random} random
 */

/**
 * One way to die: what is done, what may come of it, and which stores promise that no job is lost.
 * @typedef {object} Way
 * @property {string} about
 * @property {readonly StoreName[]} promised
 * @property {readonly StoreName[]} [only] the stores it can be done with; all of them if it is not given
 * @property {readonly Ending[]} endings how the process may end
 * @property {readonly Ending[]} [meant] those by which the blow ends it; all of `endings` if not given
 * @property {readonly Ending[]} [rarely] how some few may end as well
 * @property {readonly string[]} [execArgv]
 * @property {number} [budgetMs]
 * @property {boolean} [farEndDown] nobody takes reports until all processes of the round are gone
 * @property {boolean} [memoryLimited]
 * @property {boolean} [together] all processes of a round live at the same time
 * @property {(self: Self) => void} [prepare] within, at the start
 * @property {(self: Self) => void} [within] at the moment
 * @property {(victim: Victim) => Promise<boolean>} [outside] from the start; resolves with whether the blow fell
 */

const ALL = /** @type {const} */ (['memory', 'lmdb', 'redis']);
const DURABLE = /** @type {const} */ (['lmdb', 'redis']);
/** What a busy machine makes of it: reports came too late, or the deadline came first, and the watchdog with it. */
const ORDERLY = /** @type {const} */ ({ endings: [0], rarely: [1, 'SIGKILL'] });
/** A fatal error is the reason: it is 1 anyway. */
const FATAL = /** @type {const} */ ({ endings: [1], rarely: ['SIGKILL'] });
const CRASHES = /** @type {const} */ (['SIGABRT', 'SIGTRAP', 'SIGILL', 'SIGSEGV']);

/** @type {Readonly<Record<string, Way>>} */
export const WAYS = {
  SIGTERM: signalled('SIGTERM'),
  SIGINT: signalled('SIGINT'),
  SIGHUP: signalled('SIGHUP'),
  SIGQUIT: signalled('SIGQUIT'),
  'double-SIGINT': {
    about: 'SIGINT, and SIGINT again while it is stopping',
    promised: ALL,
    ...ORDERLY,
    endings: [130, ...ORDERLY.endings],
    meant: [130],
    async outside(victim) {
      if (!(await victim.moment())) return false;
      victim.signal('SIGINT');
      if (!(await victim.said('stopping: SIGINT'))) return false;
      await sleep(victim.random.whole(0, 250));
      victim.signal('SIGINT');
      return true;
    },
  },
  uncaughtException: {
    about: 'an exception that nobody catches',
    promised: ALL,
    ...FATAL,
    within: () => void setImmediate(() => nobodyCatches()),
  },
  unhandledRejection: {
    about: 'a rejection that nobody handles',
    promised: ALL,
    ...FATAL,
    within: () => void Promise.reject(new Error('nobody handles this')),
  },
  'empty-loop': {
    about: 'the event loop runs empty while jobs are open',
    promised: ALL,
    ...ORDERLY,
    within: ({ standStill }) => standStill(),
  },
  'process.exit': {
    about: 'the application calls process.exit',
    promised: ALL,
    endings: [0, 1, 3],
    within: ({ random }) => process.exit(random.pick([0, 1, 3])),
  },
  'process.abort': {
    about: 'the application calls process.abort',
    promised: DURABLE,
    endings: CRASHES,
    within: () => process.abort(),
  },
  'heap-exhausted': {
    about: "V8's heap is full",
    promised: DURABLE,
    endings: CRASHES,
    execArgv: ['--max-old-space-size=32'],
    within: hoard,
  },
  'memory-limit': {
    about: 'the memory limit of its container is reached',
    promised: DURABLE,
    endings: ['SIGKILL'],
    memoryLimited: true,
    within: hoard,
  },
  SIGKILL: {
    about: 'SIGKILL',
    promised: DURABLE,
    endings: ['SIGKILL'],
    outside: (victim) => signal(victim, 'SIGKILL'),
  },
  'SIGKILL-in-delivery': {
    about: 'SIGTERM, and SIGKILL when the far end has its report and has not answered',
    promised: DURABLE,
    // One without an open job delivers nothing.
    endings: [0, 'SIGKILL'],
    meant: ['SIGKILL'],
    async outside(victim) {
      if (!(await victim.moment())) return false;
      const delivering = victim.delivering();
      victim.signal('SIGTERM');
      if (!(await delivering)) return false;
      if (victim.random.chance(0.5)) await sleep(victim.random.whole(0, 50));
      victim.signal('SIGKILL');
      return true;
    },
  },
  'blocked-in-shutdown': {
    about: 'SIGTERM, and a handler that never lets go of the event loop',
    promised: ALL,
    endings: ['SIGKILL'],
    budgetMs: 1200,
    prepare({ bus, random }) {
      const phase = random.pick(/** @type {const} */ (['intake', 'drain', 'deliver', 'release']));
      bus.subscribeShutdown(() => block(random), { name: 'blocker', phase });
    },
    outside: (victim) => signal(victim, 'SIGTERM'),
  },
  'blocked-before': {
    about: 'the event loop is blocked, SIGTERM changes nothing, SIGKILL',
    promised: DURABLE,
    endings: ['SIGKILL'],
    within({ tell, random }) {
      tell('x');
      block(random);
    },
    async outside(victim) {
      if (!(await victim.told('x'))) return false;
      victim.signal('SIGTERM');
      await sleep(victim.random.whole(0, 200));
      victim.signal('SIGKILL');
      return true;
    },
  },
  'far-end-down': {
    about: 'SIGTERM while nobody takes reports; they are taken again when it is gone',
    promised: ALL,
    // 0 when it has no open job.
    endings: [0, 1],
    rarely: ['SIGKILL'],
    budgetMs: 1000,
    farEndDown: true,
    outside: (victim) => signal(victim, 'SIGTERM'),
  },
  'machine-lost': {
    about: 'everything on the machine is gone at once, and none of it comes back',
    promised: ['redis'],
    only: ['redis'],
    endings: ['SIGKILL'],
    together: true,
    async outside(victim) {
      const has = await victim.moment();
      await victim.together();
      victim.signal('SIGKILL');
      return has;
    },
  },
  'store-restarted': {
    about: 'Redis comes back empty, and SIGKILL as soon as the jobs are in it again',
    promised: ['redis'],
    only: ['redis'],
    endings: ['SIGKILL'],
    together: true,
    async outside(victim) {
      await victim.moment();
      await victim.together();
      const restored = victim.told('w');
      await victim.restartStore();
      const has = await restored;
      victim.signal('SIGKILL');
      return has;
    },
  },
};

/** @param {NodeJS.Signals} name @returns {Way} */
function signalled(name) {
  return { about: name, promised: ALL, ...ORDERLY, outside: (victim) => signal(victim, name) };
}

/** @param {Victim} victim @param {NodeJS.Signals} name */
async function signal(victim, name) {
  const has = await victim.moment();
  if (has) victim.signal(name);
  return has;
}

function nobodyCatches() {
  throw new Error('nobody catches this');
}

/** On the heap: what is outside of it may be refused with an exception. */
function hoard() {
  for (const all = []; ; ) all.push(new Array(100_000).fill(0.5));
}

/** @param {import('./random.js').Random} random */
function block(random) {
  // Mostly without work for the processor: others die at the same time.
  if (random.chance(0.8)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  for (;;);
}
