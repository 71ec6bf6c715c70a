import { Server } from 'node:net';
import { type AnyServer, isHttp2, isServer } from '../../http/any-server.js';
import { adoptServer, type DrainedServer } from '../../http/drain-server.js';
import { provisionalBus } from '../../src/default-bus.js';
import type { ShutdownBus } from '../../src/index.js';
import { loggerOf } from '../../src/logger.js';
import { ownCode } from '../../src/own-code.js';
import type { Others } from '../../src/triggers/own-listener.js';
import type { WorkerOrders } from '../messages.js';

/** Who is told of what happens. */
export interface AdoptionHost {
  /** A server listens. */
  listening(): void;
  /** A request of HTTP/2 has come. */
  requested(): void;
  /** The shutdown begins. */
  stopping(): void;
}

/**
 * Drains the servers of a program that does not do so itself. What the program does later takes its place: its own `drainServer`, its
 * own `configureShutdown`.
 */
export class Adoption {
  readonly #orders: WorkerOrders;
  readonly #others: Others;
  readonly #host: AdoptionHost;
  readonly #listening = new Set<Server>();
  readonly #servers = new Map<AnyServer, DrainedServer>();
  /** Of those, too, that do not listen now. */
  #drains = new WeakMap<AnyServer, DrainedServer>();
  readonly #counted = new WeakSet<Server>();
  #bus: ShutdownBus | undefined;

  constructor(orders: WorkerOrders, others: Others, host: AdoptionHost) {
    this.#orders = orders;
    this.#others = others;
    this.#host = host;
    const adopt = (server: unknown) => this.#adopt(server);
    const note = (server: Server) => this.#note(server);
    const { listen } = Server.prototype;
    Server.prototype.listen = function (this: Server, ...args: unknown[]) {
      note(this);
      adopt(this);
      return (listen as (...args: unknown[]) => Server).apply(this, args);
    } as Server['listen'];
  }

  /** The default bus, made where there is none. */
  get bus(): ShutdownBus {
    if (this.#bus === undefined) this.#watch(provisionalBus((bus) => this.#move(bus), this.#others));
    return this.#bus as ShutdownBus;
  }

  /** Whether no server listens any more. */
  get hasClosed(): boolean {
    return [...this.#listening].every(({ listening }) => !listening);
  }

  #note(server: Server): void {
    server.once('listening', () => {
      this.#listening.add(server);
      this.#host.listening();
      this.#count(server);
    });
    server.once('close', () => this.#listening.delete(server));
  }

  /** No other count has the requests of HTTP/2. */
  #count(server: Server): void {
    if (!isServer(server) || !isHttp2(server) || this.#counted.has(server)) return;
    this.#counted.add(server);
    server.on('stream', () => this.#host.requested());
  }

  #adopt(server: unknown): void {
    if (!isServer(server) || this.bus.state !== 'running') return;
    const { readinessPath, livenessPath } = this.#orders;
    const known = this.#drains.get(server);
    const drained =
      known ??
      adoptServer(server, {
        bus: this.bus,
        ...(readinessPath !== undefined && { readinessPath }),
        ...(livenessPath !== undefined && { livenessPath }),
      });
    if (drained === undefined) return;
    this.#drains.set(server, drained);
    this.#servers.set(server, drained);
    // It may listen again.
    server.once('close', () => this.#servers.delete(server));
  }

  #watch(bus: ShutdownBus): void {
    this.#bus = bus;
    bus.on(
      'stopping',
      ownCode(() => this.#host.stopping()),
    );
    const { budgetMs } = bus.config;
    const { endMs } = this.#orders;
    if (budgetMs > endMs)
      loggerOf(bus).warn(
        `budgetMs is ${budgetMs}, and the supervisor ends this worker after ${endMs}: leave budgetMs out here, and give it to the ` +
          'supervisor (--budget, SHUTDOWN_BUDGET_MS), which keeps a part of it',
      );
  }

  #move(bus: ShutdownBus): void {
    this.#watch(bus);
    const servers = [...this.#servers.keys()];
    for (const drained of this.#servers.values()) drained.dispose();
    this.#servers.clear();
    this.#drains = new WeakMap();
    for (const server of servers) this.#adopt(server);
  }
}
