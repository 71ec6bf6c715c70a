import { type Clock, sleep, systemClock } from '../clock.js';
import type { ShutdownConfig } from '../config.js';
import type { Logger } from '../logger.js';
import type { ShutdownRun } from '../shutdown.js';

/**
 * How long the event loop runs on before the exit when memory is short: a thread of V8's that waits for a collection gets none after it,
 * and the exit waits for that thread. Seen on Node 26 in 1 of 15 exits under a container's limit, without end.
 */
const COLLECTION_MS = 60;

/** Gives those who wait for the report their turn, then the output its way out, then ends the process. */
export async function depart(
  config: ShutdownConfig,
  log: Logger,
  run: ShutdownRun,
  end: () => void,
): Promise<void> {
  // A whole one: in it Node tells of what they rejected, and of the connections that were closed.
  await turn();
  if (config.exit === true && config.process === process) await tellOfServers(log);
  if (run.isShortOfMemory) await sleep(config.clock, COLLECTION_MS);
  // Loaded for the shutdown already.
  const { flushOutput } = await import('./exit.js');
  await flushOutput(config.process, config.clock, Math.max(run.remainingMs(), 50));
  if (typeof config.exit === 'function') run.release();
  end();
}

/** Kept of the budget for the exit itself. */
const EXIT_MS = 100;

/** Whoever sleeps by it keeps no process alive. */
const IDLE_CLOCK: Clock = {
  ...systemClock,
  setTimeout: (callback, ms) => (systemClock.setTimeout(callback, ms) as NodeJS.Timeout).unref(),
};

/**
 * Leaves the end to an application that listens for the signal itself and may be cleaning up: it exits, or has nothing left to do. Resolves
 * when its time is over, or `signal` aborts.
 */
export async function outlive(
  run: ShutdownRun,
  code: number,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { reason } = run;
  if (reason.kind !== 'signal') return;
  const ms = Math.max(0, Math.round(run.remainingMs() - EXIT_MS));
  log.info(`the program listens for ${reason.signal} itself: the exit is its own, within ${ms} ms`);
  process.exitCode ||= code;
  process.channel?.unref();
  await sleep(IDLE_CLOCK, ms, signal);
}

/** A server that nobody drains shows in no handler: its clients learn of the shutdown by a reset. */
async function tellOfServers(log: Logger): Promise<void> {
  const isListening = () => process.getActiveResourcesInfo().includes('TCPServerWrap');
  // One that has just closed is still among them.
  if (isListening()) await turn();
  if (!isListening()) return;
  log.info(
    'a server still listens, and its clients are cut off by the exit: drainServer(server) of shutdown-bus/http lets them finish',
  );
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

// For all copies of this package in the process.
const ENDING = Symbol.for('shutdown-bus.ending');
const shared = globalThis as { [ENDING]?: boolean };

/** Whether one of the buses ends this process now. */
export function isEnding(): boolean {
  return shared[ENDING] === true;
}

/** Ends the process, or tells the one who asked to be told. */
export function endProcess(
  { exit, process: host }: ShutdownConfig,
  code: number,
  failed: (error: unknown) => void,
): void {
  if (typeof exit !== 'function') {
    exitNow(host, code);
    return;
  }
  // An exit function that fails must not leave a process behind that nothing can end any more.
  new Promise<void>((resolve) => resolve(exit(code))).catch((error: unknown) => {
    failed(error);
    exitNow(host, code || 1);
  });
}

function exitNow(host: ShutdownConfig['process'], code: number): void {
  shared[ENDING] = true;
  try {
    host.exit(code);
  } finally {
    // A test's process goes on.
    shared[ENDING] = false;
  }
}
