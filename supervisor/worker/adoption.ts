import { Server } from 'node:net';
import { type AnyServer, isServer } from '../../http/any-server.js';
import { adoptServer, type DrainedServer } from '../../http/drain-server.js';
import { provisionalBus } from '../../src/default-bus.js';
import type { ShutdownBus } from '../../src/index.js';
import type { WorkerOrders } from '../messages.js';

/**
 * Drains the servers of a program that does not do so itself. What the program does later takes its place: its own `drainServer`, its
 * own `configureShutdown`.
 */
export class Adoption {
  readonly #orders: WorkerOrders;
  readonly #servers = new Map<AnyServer, DrainedServer>();
  #bus: ShutdownBus | undefined;

  constructor(orders: WorkerOrders) {
    this.#orders = orders;
    const adopt = (server: unknown) => this.#adopt(server);
    const { listen } = Server.prototype;
    Server.prototype.listen = function (this: Server, ...args: unknown[]) {
      adopt(this);
      return (listen as (...args: unknown[]) => Server).apply(this, args);
    } as Server['listen'];
  }

  /** The default bus, made where there is none. */
  get bus(): ShutdownBus {
    this.#bus ??= provisionalBus((bus) => this.#move(bus));
    return this.#bus;
  }

  #adopt(server: unknown): void {
    if (!isServer(server) || this.bus.state !== 'running') return;
    const { readinessPath, livenessPath } = this.#orders;
    const drained = adoptServer(server, {
      bus: this.bus,
      ...(readinessPath !== undefined && { readinessPath }),
      ...(livenessPath !== undefined && { livenessPath }),
    });
    if (drained === undefined) return;
    this.#servers.set(server, drained);
    server.once('close', () => this.#servers.delete(server));
  }

  #move(bus: ShutdownBus): void {
    this.#bus = bus;
    const servers = [...this.#servers.keys()];
    for (const drained of this.#servers.values()) drained.dispose();
    this.#servers.clear();
    for (const server of servers) this.#adopt(server);
  }
}
