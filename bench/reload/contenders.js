// @ts-check
// Who can replace the workers of a service: each with two of them on one port, started as its documentation says.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startProgram } from '../processes.js';
import { Group } from './group.js';
import { createHome, findPm2 } from './pm2.js';

const WORKERS = 2;
const START_MS = 20_000;
/** How long one serves on after SIGTERM where it says before that it will not: five health checks. */
const LAME_DUCK_MS = 1000;
const APP = pathOf('app.js');
const APP_FOR_PM2 = pathOf('app-for-pm2.js');
const COMMAND_LINE = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/**
 * A primary with its workers.
 * @typedef {object} Running
 * @property {Group} group
 * @property {() => Promise<void>} reload resolves when the last old worker is gone
 * @property {() => void} end of everything that was started
 *
 * Where it runs: `checked` by a balancer that has another instance of it, and that asks on `HEALTH_PATHS` whether it is ready.
 * @typedef {{ port: number, checked: boolean }} Place
 *
 * @typedef {(place: Place) => Promise<Running>} Start
 */

/** Where a balancer asks for the health of who has a path for that. @type {Readonly<Record<string, string>>} */
export const HEALTH_PATHS = Object.freeze({ 'shutdown-bus': '/readyz' });

/** @type {Start} */
async function shutdownBus({ port, checked }) {
  if (!existsSync(COMMAND_LINE)) throw new Error(`no ${COMMAND_LINE}: npm run build`);
  const command = [COMMAND_LINE, 'run', '-w', String(WORKERS), '--timeout', '30'];
  if (checked) command.push('--readiness-path', /** @type {string} */ (HEALTH_PATHS['shutdown-bus']));
  const env = checked ? { SHUTDOWN_READINESS_DELAY_MS: String(LAME_DUCK_MS) } : {};
  return startSignalled([...command, APP], { PORT: String(port), ...env }, /\brestarted: /);
}

/** @param {'disconnect' | 'SIGTERM'} how @returns {Start} */
function cluster(how) {
  const command = [pathOf('primary.js'), APP, String(WORKERS), how];
  return async ({ port }) => startSignalled(command, { PORT: String(port) }, /^reloaded$/m);
}

/** A program that reloads upon SIGHUP. @param {readonly string[]} command @param {NodeJS.ProcessEnv} env @param {RegExp} done what it says then */
function startSignalled(command, env, done) {
  const group = new Group([process.execPath, ...command], env);
  return {
    group,
    reload() {
      const said = group.says(done);
      group.process.kill('SIGHUP');
      return said;
    },
    end: () => group.end(),
  };
}

/** `pm2-runtime`, which is PM2 without a daemon. @param {object} app what differs from its defaults @returns {Start} */
function pm2(app) {
  return async ({ port }) => {
    const { folder } = await findPm2();
    const home = createHome({
      name: 'app',
      exec_mode: 'cluster',
      instances: WORKERS,
      env: { PORT: String(port) },
      ...app,
    });
    const group = new Group(
      [process.execPath, join(folder, 'bin', 'pm2-runtime'), 'start', home.ecosystem],
      home.env,
    );
    /** @type {import('../processes.js').Program | undefined} */
    let client;
    return {
      group,
      async reload() {
        client ??= startProgram('pm2-reload.js', [folder], [], undefined, home.env);
        client.tell({});
        await client.next();
      },
      end() {
        client?.process.kill('SIGKILL');
        group.end();
        home.remove();
      },
    };
  };
}

/** @type {Readonly<Record<string, Start>>} */
const STARTS = Object.freeze({
  'shutdown-bus': shutdownBus,
  pm2: pm2({ script: APP }),
  'pm2-ready': pm2({ script: APP_FOR_PM2, wait_ready: true, listen_timeout: 10_000, kill_timeout: 3000 }),
  'cluster-disconnect': cluster('disconnect'),
  'cluster-sigterm': cluster('SIGTERM'),
});

export const CONTENDERS = Object.freeze(Object.keys(STARTS));

/** Starts one; resolves when all its workers answer. @param {string} name @param {Place} place @returns {Promise<Running>} */
export async function startContender(name, place) {
  const running = await /** @type {Start} */ (STARTS[name])(place);
  try {
    await untilAllAnswer(running.group, place.port);
    return running;
  } catch (error) {
    running.end();
    throw error;
  }
}

/** @param {Group} group @param {number} port */
async function untilAllAnswer(group, port) {
  const workers = new Set();
  for (const startedAt = performance.now(); workers.size < WORKERS; await sleep(20)) {
    if (!group.isRunning) throw new Error(`it ended: ${group.output}`);
    if (performance.now() - startedAt > START_MS)
      throw new Error(`${workers.size} of ${WORKERS} workers answer: ${group.output}`);
    // Some at a time: a single one may always reach the same worker.
    const answers = await Promise.all(Array.from({ length: 2 * WORKERS }, () => askWorker(port)));
    for (const worker of answers) if (worker) workers.add(worker);
  }
}

/** Who answers on a connection of its own, if anybody does. @param {number} port */
async function askWorker(port) {
  try {
    const response = await fetch(`http://127.0.0.1:${port}`, { headers: { connection: 'close' } });
    await response.arrayBuffer();
    return response.headers.get('x-worker');
  } catch {
    return null;
  }
}

/** @param {string} file */
function pathOf(file) {
  return fileURLToPath(new URL(file, import.meta.url));
}
