import { defaultBus, type ShutdownBus } from '../src/index.js';
import { loggerOf } from '../src/logger.js';
import type { AnyServer } from './any-server.js';
import { type DrainedServer, drainServer } from './drain-server.js';
import type { DrainOptions } from './options.js';

/** What {@link fastifyShutdown} needs to know of an application; every `FastifyInstance` is one. */
export interface FastifyApplication {
  readonly server: AnyServer;
  close(): PromiseLike<unknown>;
}

/** A plugin of Fastify, in its own words. */
export type FastifyShutdown = (app: FastifyApplication, options: DrainOptions) => Promise<void>;

/** What every plugin can be registered with besides its own options. */
interface RegisterOptions {
  readonly prefix?: unknown;
  readonly logLevel?: unknown;
  readonly logSerializers?: unknown;
}

/** The rest of what we use: its types would ask for Fastify's. */
interface Hooked extends FastifyApplication {
  addHook(name: 'onListen' | 'onClose', hook: () => Promise<void>): unknown;
  addresses(): readonly unknown[];
}

/**
 * Drains a Fastify application, and closes it when there is nothing left to serve. Its options are those of `drainServer`.
 *
 * ```
 * intake, drain   as drainServer does it; Fastify serves every request, and answers none with its own 503
 * deliver         open requests are reported and answered
 * release         app.close(): the onClose hooks, which may close what requests and jobs needed
 * ```
 *
 * Drains every address that Fastify listens on: for `localhost` it opens 127.0.0.1 and ::1. An `app.close()` without a shutdown
 * takes the plugin off again. One that somebody else calls during a shutdown closes nothing under the drain, but from then on
 * Fastify answers new requests with 503, and its onClose hooks run after the last request, not after the reports.
 * @throws {ShutdownError} what `drainServer` throws; `register` rejects with it.
 * @example
 * ```ts
 * await app.register(fastifyShutdown, { readinessPath: '/ready' });
 * ```
 * @see https://fastify.dev/docs/latest/Reference/Server/#close
 */
export const fastifyShutdown: FastifyShutdown = Object.assign(register, {
  // Belongs to the application as a whole, not to the scope it is registered in.
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'shutdown-bus',
  [Symbol.for('plugin-meta')]: { name: 'shutdown-bus', fastify: '>=4.29' },
});

async function register(app: FastifyApplication, options: DrainOptions & RegisterOptions): Promise<void> {
  const { prefix: _prefix, logLevel: _level, logSerializers: _serializers, ...drain } = options;
  const drained: DrainedServer[] = [drainServer(app.server, drain)];
  const bus = drain.bus ?? defaultBus();
  // Together with the application's own release handlers, within their time.
  const unsubscribe = bus.subscribeShutdown(async () => void (await app.close()), {
    name: 'close fastify',
    phase: 'release',
  });
  const { addHook } = app as Hooked;
  addHook.call(app, 'onListen', async () => {
    for (const server of otherServers(app as Hooked, bus)) drained.push(drainServer(server, drain));
  });
  addHook.call(app, 'onClose', async () => {
    unsubscribe();
    for (const one of drained) one.dispose();
  });
}

const BINDINGS = 'fastify.serverBindings';

/** The servers besides `app.server`. Fastify tells their addresses to everybody, the servers only to itself. */
function otherServers(app: Hooked, bus: ShutdownBus): readonly AnyServer[] {
  const others = app.addresses().length - 1;
  if (others < 1) return [];
  const servers = bindingsOf(app) ?? [];
  if (servers.length < others) {
    const log = loggerOf(bus);
    log.warn(
      `fastify listens on ${others + 1} addresses, and ${servers.length + 1} could be found to be drained; listen on one host`,
    );
  }
  return servers;
}

function bindingsOf(app: object): readonly AnyServer[] | undefined {
  // An application is the prototype of the scopes in it.
  for (let scope = app; scope !== null; scope = Object.getPrototypeOf(scope)) {
    const key = Object.getOwnPropertySymbols(scope).find(({ description }) => description === BINDINGS);
    if (key) return (scope as Record<symbol, readonly AnyServer[]>)[key];
  }
  return undefined;
}
