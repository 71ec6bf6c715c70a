// @ts-check
// How an HTTP server is made to end well: without help, with shutdown-bus, and with each peer as its README says.
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What a service lets its helper decide.
 * @typedef {object} Setting
 * @property {import('node:http').Server} server not listening yet
 * @property {number} lameDuckMs how long to serve on after SIGTERM where the helper has such a delay
 * @property {number} healthPort where the helper opens a port of its own for health checks, if it does
 * @property {number} idleLingerMs shutdown-bus's
 *
 * @typedef {(setting: Setting) => Promise<void | (() => void)>} Helper gives what is to be called when the server listens
 */

/** Answers SIGTERM with `process.exit(0)`: the fastest end there is, and the worst. @type {Helper} */
async function bare() {
  process.once('SIGTERM', () => process.exit(0));
}

/** What the manual of Node has. @type {Helper} */
async function serverClose({ server }) {
  process.once('SIGTERM', () => server.close());
}

/** @type {Helper} */
async function shutdownBus({ server, lameDuckMs, idleLingerMs }) {
  const { drainServer } = await import('shutdown-bus/http');
  drainServer(server, { readinessPath: '/ready', readinessDelayMs: lameDuckMs, idleLingerMs });
}

/** @type {Helper} */
async function terminus({ server, lameDuckMs }) {
  const { createTerminus } = await import('@godaddy/terminus');
  createTerminus(server, {
    timeout: 10_000,
    healthChecks: { '/ready': async () => {} },
    beforeShutdown: () => sleep(lameDuckMs),
    useExit0: true,
  });
}

/** @type {Helper} */
async function lightship({ server, lameDuckMs, healthPort }) {
  const { createLightship } = await import('lightship');
  const beacons = await createLightship({
    detectKubernetes: false,
    port: healthPort,
    shutdownDelay: lameDuckMs,
  });
  beacons.registerShutdownHandler(() => void server.close());
  return () => beacons.signalReady();
}

/** @type {Helper} */
async function httpTerminator({ server }) {
  const { createHttpTerminator } = await import('http-terminator');
  const terminator = createHttpTerminator({ server });
  process.once('SIGTERM', async () => {
    await terminator.terminate();
    process.exit(0);
  });
}

/** @type {Helper} */
async function stoppable({ server }) {
  const { default: decorate } = await import('stoppable');
  const stopping = decorate(server, 10_000);
  process.once('SIGTERM', () => stopping.stop());
}

/** @type {Helper} */
async function httpGracefulShutdown({ server }) {
  const { default: gracefulShutdown } = await import('http-graceful-shutdown');
  gracefulShutdown(server);
}

/** @type {Helper} */
async function closeWithGrace({ server }) {
  const { default: grace } = await import('close-with-grace');
  grace(() => new Promise((resolve) => server.close(() => resolve())));
}

/** Every way a server is helped, by the name its program is started with. */
export const HELPERS = Object.freeze({
  bare,
  'server.close': serverClose,
  'shutdown-bus': shutdownBus,
  terminus,
  lightship,
  'http-terminator': httpTerminator,
  stoppable,
  'http-graceful-shutdown': httpGracefulShutdown,
  'close-with-grace': closeWithGrace,
});

/** The packages shutdown-bus is measured beside. */
export const PEERS = Object.freeze(
  Object.keys(HELPERS).filter((name) => !['bare', 'server.close', 'shutdown-bus'].includes(name)),
);
