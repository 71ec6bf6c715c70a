// @ts-check

import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { Balancer, balancerVersion } from './balancer.js';
import { carryOut } from './command.js';
import { PEERS } from './peers.js';
import { freePorts } from './ports.js';
import { startProgram, terminate } from './processes.js';
import { describeMachine, formatColumns } from './table.js';
import { readNames, readWhole } from './values.js';

const HELP = `node bench/rolling.js [--requests N] [--peer-requests N] [--seconds N] [--only a,b] [--json] [--help]

Two instances behind a real HAProxy (health checks every 200 ms, no retries, no redispatch), under load of clients with and
without keep-alive. The instances are ended by SIGTERM and started again in turn until enough requests have passed.
What is counted is what the clients see: every answer that is not 200, every connection that broke.

  --requests N       requests through shutdown-bus; 1000 to 10000000, default 1000000
  --peer-requests N  requests through each of the others, the same range, default 100000
  --seconds N        the most time for each, 5 to 3600, default 600
  --only a,b         some of: shutdown-bus, server.close, ${PEERS.join(', ')}

Needs a build (npm run build) and haproxy in the PATH, or its path in HAPROXY.
`;

const NAMES = ['shutdown-bus', 'server.close', ...PEERS];
const MOST_REQUESTS = 10_000_000;
const INSTANCES = 2;
const CLIENTS = { keepAlive: 32, single: 8 };
/** How long a service serves on after SIGTERM, where it can: five health checks. */
const LAME_DUCK_MS = 1000;
/** One that has not ended by then is killed. */
const PATIENCE_MS = 10_000;

/** @typedef {{ name: string, requests: number, restarts: number, failed: Record<string, number>, killed: number, seconds: number, complete: boolean }} Result */

/** @param {string} name @param {number} requests @param {number} mostMs @returns {Promise<Result>} */
async function roll(name, requests, mostMs) {
  const [front = 0, ...ports] = await freePorts(1 + 2 * INSTANCES);
  const setups = Array.from({ length: INSTANCES }, (_none, index) => ({
    port: ports[2 * index] ?? 0,
    healthPort: ports[2 * index + 1] ?? 0,
    lameDuckMs: LAME_DUCK_MS,
  }));
  const instances = await Promise.all(setups.map((setup) => startInstance(name, setup)));
  const backends = setups.map(({ port, healthPort }) => ({
    port,
    // Lightship answers on a port of its own.
    healthPort: name === 'lightship' ? healthPort : port,
    healthPath: '/ready',
  }));
  const balancer = new Balancer(front, backends);
  /** @type {ReturnType<typeof startProgram> | undefined} */
  let load;
  try {
    for (let index = 0; index < INSTANCES; index += 1) await balancer.untilUp(index);
    load = startProgram('rolling-load.js', [JSON.stringify({ port: front, ...CLIENTS })]);
    const state = watch(load);
    const startedAt = performance.now();
    let restarts = 0;
    let killed = 0;
    while (total(state) < requests && performance.now() - startedAt < mostMs) {
      if (load.process.exitCode !== null) throw new Error('the load ended by itself');
      const index = restarts % INSTANCES;
      const instance = /** @type {import('./processes.js').Program} */ (instances[index]);
      if ((await terminate(instance.process, PATIENCE_MS)).hung) killed += 1;
      instances[index] = await startInstance(name, setups[index]);
      await balancer.untilUp(index);
      restarts += 1;
      process.stderr.write(
        `\r${name}: ${total(state)} requests, ${restarts} restarts, ${failures(state)} failed `,
      );
    }
    load.process.kill('SIGTERM');
    await once(load.process, 'exit');
    const seconds = (performance.now() - startedAt) / 1000;
    const complete = total(state) >= requests;
    return { name, requests: total(state), restarts, failed: state.failed, killed, seconds, complete };
  } finally {
    process.stderr.write('\n');
    load?.process.kill('SIGKILL');
    balancer.close();
    for (const instance of instances) instance?.process.kill('SIGKILL');
  }
}

/** @typedef {{ answered: number, failed: Record<string, number> }} LoadState */

/** The load's latest word. @param {ReturnType<typeof startProgram>} load @returns {LoadState} */
function watch(load) {
  /** @type {LoadState} */
  const state = { answered: 0, failed: {} };
  (async () => {
    for (;;) Object.assign(state, await load.next());
  })().catch(() => {});
  return state;
}

/** @param {LoadState} state */
const failures = ({ failed }) => Object.values(failed).reduce((sum, count) => sum + count, 0);

/** @param {LoadState} state */
const total = (state) => state.answered + failures(state);

/** @param {string} name @param {object | undefined} setup */
async function startInstance(name, setup) {
  const instance = startProgram('http-service.js', [name, JSON.stringify(setup)]);
  await instance.next();
  return instance;
}

/** Reads the command line. @returns what to run, or the text that says why nothing can be */
function readArguments() {
  try {
    const options = /** @type {const} */ ({
      requests: { type: 'string' },
      'peer-requests': { type: 'string' },
      seconds: { type: 'string' },
      only: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    });
    const { values } = parseArgs({ options });
    return {
      names: readNames('--only', values.only, NAMES),
      requests: readWhole('--requests', values.requests, MOST_REQUESTS, 1000) ?? 1_000_000,
      peerRequests: readWhole('--peer-requests', values['peer-requests'], MOST_REQUESTS, 1000) ?? 100_000,
      mostMs: (readWhole('--seconds', values.seconds, 3600, 5) ?? 600) * 1000,
      json: values.json,
      help: values.help,
    };
  } catch (error) {
    return /** @type {Error} */ (error).message;
  }
}

/** @param {Result} result */
function remarksOn({ killed, complete, seconds }) {
  const remarks = [];
  if (killed > 0) remarks.push(`killed after ${PATIENCE_MS / 1000} s: ${killed}`);
  if (!complete) remarks.push(`cut short after ${Math.round(seconds)} s`);
  return remarks.join(', ');
}

/** @param {readonly Result[]} results @param {string} balancer */
function formatResults(results, balancer) {
  const rows = results.map((result) => [
    result.name,
    result.requests.toLocaleString('en'),
    String(result.restarts),
    failures({ answered: 0, failed: result.failed }).toLocaleString('en'),
    Object.entries(result.failed)
      .map(([how, count]) => `${how}: ${count}`)
      .join(', '),
    remarksOn(result),
  ]);
  return formatColumns([['', 'requests', 'restarts', 'failed', 'how', ''], ...rows], balancer);
}

await carryOut(readArguments(), HELP, main);

/** @param {Exclude<ReturnType<typeof readArguments>, string>} wanted */
async function main({ names, requests, peerRequests, mostMs, json }) {
  const balancer = await balancerVersion();
  const results = [];
  for (const name of names)
    results.push(await roll(name, name === 'shutdown-bus' ? requests : peerRequests, mostMs));
  if (json) console.log(JSON.stringify({ machine: describeMachine(), balancer, results }, null, 2));
  else console.log(formatResults(results, balancer));
}
