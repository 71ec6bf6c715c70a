import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type DrainedServer, type DrainOptions, drainServer } from '../../http/index.js';
import { createShutdownBus, type ShutdownBus, type ShutdownBusOptions } from '../../src/index.js';
import { createFakeProcess, type FakeProcess } from '../../src/testing/fake-process.js';
import { type MemoryNotifier, memoryNotifier } from '../../src/testing/memory-notifier.js';
import { type LineLogger, lineLogger } from '../test-bus.js';
import { RawClient } from './raw-client.js';

/** A drained service in this process, on a real socket. */
export interface Service {
  readonly server: Server;
  readonly port: number;
  readonly bus: ShutdownBus;
  readonly drained: DrainedServer;
  readonly notifier: MemoryNotifier;
  readonly host: FakeProcess;
  readonly log: LineLogger;
  client(options?: { readonly allowHalfOpen?: boolean }): RawClient;
}

export interface ServiceOptions {
  readonly drain?: Omit<DrainOptions, 'bus'>;
  readonly bus?: ShutdownBusOptions;
  readonly notifier?: MemoryNotifier;
}

const opened: Service[] = [];

/** A bus that ends nothing, on real time. */
export function openBus(options: ShutdownBusOptions = {}): {
  bus: ShutdownBus;
  host: FakeProcess;
  log: LineLogger;
} {
  const host = createFakeProcess();
  const log = lineLogger();
  const bus = createShutdownBus({
    service: 'test-service',
    budgetMs: 3000,
    exit: false,
    watchdog: false,
    platform: 'unknown',
    process: host,
    logger: log,
    notifiers: [memoryNotifier()],
    ...options,
  });
  return { bus, host, log };
}

/** Opens a service; {@link closeServices} ends it. */
export async function openService(listener: RequestListener, options: ServiceOptions = {}): Promise<Service> {
  const notifier = options.notifier ?? memoryNotifier();
  const { bus, host, log } = openBus({ notifiers: [notifier], ...options.bus });
  const server = createServer(listener);
  const drained = drainServer(server, { bus, ...options.drain });
  const port = await listen(server);
  const service = {
    server,
    port,
    bus,
    drained,
    notifier,
    host,
    log,
    client: (how?: { readonly allowHalfOpen?: boolean }) => new RawClient(port, how),
  };
  opened.push(service);
  return service;
}

export async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** Whatever a test left open is gone after it. */
export function closeServices(): void {
  for (const { server, bus, drained } of opened.splice(0)) {
    drained.dispose();
    bus.dispose();
    server.close();
    server.closeAllConnections();
  }
}

/** Resolves as soon as `condition` holds; the test's own time limit is the end of its patience. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

/** A promise that is settled from outside: how a test holds one side of a race. */
export function gate<T = void>(): { readonly opened: Promise<T>; open(value: T): void } {
  let open!: (value: T) => void;
  const promise = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { opened: promise, open };
}

/** Errors that nobody has caught since this was called, read once. The test runner would tell of them, too, but not in which test. */
export function uncaughtErrors(): () => readonly Error[] {
  const errors: Error[] = [];
  const note = (error: Error) => void errors.push(error);
  process.on('uncaughtExceptionMonitor', note);
  return () => {
    process.off('uncaughtExceptionMonitor', note);
    return errors;
  };
}
