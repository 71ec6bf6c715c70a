import type { Server as NetServer } from 'node:net';
import { ShutdownError } from '../src/index.js';
import { type AnyServer, isServer } from './any-server.js';
import type { DrainCounts } from './counts.js';
import { Drain } from './drain.js';
import { type DrainOptions, resolveOptions } from './options.js';
import { subscribeSteps } from './steps.js';
import type { OpenRequest } from './tracked-request.js';

/** A server that will be drained. Disposing it gives the server back as it was. */
export interface DrainedServer extends Disposable {
  /** What the shutdown has done so far; all zero before the trigger. */
  readonly counts: DrainCounts;
  /** Connections open now, also those that never sent a byte. */
  readonly connections: number;
  /** Requests open now, with the jobs that were begun in them. */
  readonly openRequests: readonly OpenRequest[];
  /** Takes everything off the server and the bus. A drain under way goes on as far as its handlers run. Safe to call twice. */
  dispose(): void;
}

// For all copies of this package in the process.
const DRAINED = Symbol.for('shutdown-bus.drained-servers');
const shared = globalThis as { [DRAINED]?: WeakMap<AnyServer, Claim> };
shared[DRAINED] ??= new WeakMap();
const drained = shared[DRAINED];

/** Who drains a server. */
interface Claim {
  /** Makes way for the application's own; `undefined` when this is it. */
  readonly yield: (() => void) | undefined;
}

/**
 * Ends a server with its clients instead of against them: nobody who is connected, waiting in the kernel's backlog or
 * about to use a keep-alive connection gets a reset as long as the budget lasts.
 *
 * ```
 * intake    readiness 503, Connection: close on every answer, serves on for readinessDelayMs
 * drain     listens until the backlog is empty, closes, lets requests finish and idle connections go
 * deliver   requests still open: told what `answer` says, after the reports of their jobs were accepted
 * ```
 *
 * From the trigger until the open requests were answered, close(), closeIdleConnections() and closeAllConnections() of the server
 * wait for the drain, whoever calls them.
 *
 * Works on node:http, node:https and node:http2 servers, listening or not yet. Best attached before the server listens: of
 * connections accepted earlier it learns with their next request.
 * @throws {ShutdownError} `INVALID_OPTION` for a bad option, or a server that is none or is drained already;
 * `PHASE_PAST` once a shutdown has begun, `BUS_DISPOSED`.
 */
export function drainServer(server: AnyServer, options: DrainOptions = {}): DrainedServer {
  checkServer(server);
  drained.get(server)?.yield?.();
  return attach(server, options);
}

/**
 * The same for a server of an application that has not said how it is to be drained: when it does, by `drainServer`, that takes its place.
 * @returns `undefined` when it has said so already.
 */
export function adoptServer(server: AnyServer, options: DrainOptions): DrainedServer | undefined {
  return drained.has(server) ? undefined : attach(server, options, true);
}

function attach(server: AnyServer, options: DrainOptions, yields = false): DrainedServer {
  const settings = resolveOptions(options);
  const drain = new Drain(server, settings);
  let unsubscribe: () => void;
  try {
    unsubscribe = subscribeSteps(drain);
  } catch (error) {
    drain.dispose();
    throw error;
  }
  // The port is known only now, and a report of several servers needs it.
  const renamed = () => {
    try {
      const again = subscribeSteps(drain);
      unsubscribe();
      unsubscribe = again;
    } catch {
      // The shutdown has begun or the bus was disposed: the names stay without a port.
    }
  };
  (server as NetServer).on('listening', renamed);
  let disposed = false;
  const dispose = () => {
    if (disposed) return;
    disposed = true;
    (server as NetServer).off('listening', renamed);
    unsubscribe();
    drain.dispose();
    drained.delete(server);
  };
  drained.set(server, { yield: yields ? dispose : undefined });
  return {
    get counts() {
      return drain.counts;
    },
    get connections() {
      return drain.clients.size;
    },
    get openRequests() {
      return [...drain.requests];
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

function checkServer(server: unknown): asserts server is AnyServer {
  if (!isServer(server))
    throw new ShutdownError(
      'INVALID_OPTION',
      'drainServer was given no server; allowed: one of node:http, node:https or node:http2, in Express and Koa what app.listen(port) returns; Fastify has fastifyShutdown, Nest has ShutdownModule',
    );
  const claim = drained.get(server);
  if (claim !== undefined && claim.yield === undefined)
    throw new ShutdownError(
      'INVALID_OPTION',
      'this server is drained already; dispose the first one, or attach once',
    );
}
