import {
  type DynamicModule,
  type INestApplication,
  type INestApplicationContext,
  Inject,
  Module,
  Optional,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { defaultBus, ShutdownBus, ShutdownError, type ShutdownReason } from '../src/index.js';
import { loggerOf } from '../src/logger.js';
import { isServer } from './any-server.js';
import { type DrainedServer, drainServer } from './drain-server.js';
import type { DrainOptions } from './options.js';

/** The token of the bus: `@Inject(SHUTDOWN_BUS) bus: ShutdownBus`. The class `ShutdownBus` is one as well. */
export const SHUTDOWN_BUS: unique symbol = Symbol.for('shutdown-bus.nest.bus');

/**
 * Drains the application's HTTP server by the bus, as `drainServer` does, and gives the bus to every provider that asks.
 * Works with any HTTP adapter. Goes with `app.close()`.
 *
 * ```
 * @Module({ imports: [ShutdownModule.forRoot({ readinessPath: '/ready' })] })
 * ```
 *
 * A module cannot get at the application it is part of, and so cannot close it: the lifecycle hooks of the providers
 * need one line more, {@link nestShutdown}.
 */
export class ShutdownModule {
  /** Called by Nest. @throws {ShutdownError} `INVALID_OPTION` without {@link ShutdownModule.forRoot}: nothing would be drained. */
  constructor(drain?: object) {
    if (drain === undefined)
      throw invalid('ShutdownModule is imported as it is; allowed: ShutdownModule.forRoot(options)');
  }

  /**
   * @param options those of `drainServer`.
   * @returns a global module, to be imported once. Bad options make `app.init()` and `app.listen()` reject with a
   * `ShutdownError`, `INVALID_OPTION`.
   */
  static forRoot(options: DrainOptions = {}): DynamicModule {
    return {
      module: ShutdownModule,
      global: true,
      providers: [
        // Not before the application is made: the default bus may be configured after this file is loaded.
        { provide: SHUTDOWN_BUS, useFactory: () => options.bus ?? defaultBus() },
        { provide: ShutdownBus, useExisting: SHUTDOWN_BUS },
        {
          provide: ModuleDrain,
          useFactory: (host: HttpAdapterHost, bus: ShutdownBus) => new ModuleDrain(host, { ...options, bus }),
          inject: [HttpAdapterHost, SHUTDOWN_BUS],
        },
      ],
      exports: [SHUTDOWN_BUS, ShutdownBus],
    };
  }
}

/** An application that the bus will close. Disposing it leaves that to whoever made it. */
export interface NestShutdown extends Disposable {
  /** The drained server; `undefined` without one, and when {@link ShutdownModule} drains it. */
  readonly drained: DrainedServer | undefined;
  /** Takes everything off the application and the bus. Safe to call twice. */
  dispose(): void;
}

/**
 * Closes a Nest application in the release phase, after requests, jobs and reports: `onModuleDestroy`,
 * `beforeApplicationShutdown` and `onApplicationShutdown` of all providers run there with the signal's name, inside the
 * budget. The HTTP server is drained before, by `ShutdownModule` if that is imported, else from here with `options`.
 *
 * ```
 * const app = await NestFactory.create(AppModule);
 * nestShutdown(app);
 * await app.listen(3000);
 * ```
 *
 * Takes the place of `app.enableShutdownHooks()`, whose listeners run the hooks and close the server at the signal, under
 * the requests: they are removed, and the call has no effect any more. `app.close()` during the shutdown waits for the
 * release phase; at any other time it closes the application as ever, and takes it off the bus.
 * @param app what `NestFactory.create` or `NestFactory.createApplicationContext` resolves to.
 * @throws {ShutdownError} `INVALID_OPTION` for a bad option, options that belong to `ShutdownModule`, or an application
 * that is none or is attached already; `PHASE_PAST` once a shutdown has begun, `BUS_DISPOSED`.
 */
export function nestShutdown(app: INestApplicationContext, options: DrainOptions = {}): NestShutdown {
  const host = hostOf(app);
  const byModule = moduleDrains.get(host);
  if (byModule !== undefined && Object.keys(options).length > 0)
    throw invalid(
      'options of nestShutdown have no effect beside ShutdownModule; allowed: in forRoot(options)',
    );
  const bus = byModule?.bus ?? options.bus ?? defaultBus();
  const drained = byModule ? undefined : drainServerOf(app, options);
  const undo: (() => void)[] = [() => drained?.dispose()];
  const dispose = () => {
    for (const step of undo.splice(0)) step();
  };
  try {
    undo.push(closeOnRelease(app, bus, dispose));
  } catch (error) {
    dispose();
    throw error;
  }
  undo.push(silenceOwnListeners(app, bus), () => attached.delete(host));
  attached.add(host);
  return { drained, dispose, [Symbol.dispose]: dispose };
}

/** The part of {@link ShutdownModule} that lives as long as the application. */
class ModuleDrain {
  readonly bus: ShutdownBus;
  readonly #host: HttpAdapterHost;
  readonly #options: DrainOptions;
  #drained: DrainedServer | undefined = undefined;

  constructor(host: HttpAdapterHost, options: DrainOptions & { readonly bus: ShutdownBus }) {
    this.bus = options.bus;
    this.#host = host;
    this.#options = options;
    if (moduleDrains.has(host))
      throw invalid('ShutdownModule is imported twice; allowed: forRoot(options) once, for all modules');
    moduleDrains.set(host, this);
  }

  /** The server is there by now, and does not listen yet. */
  onModuleInit(): void {
    const server: unknown = this.#host.httpAdapter?.getHttpServer?.();
    if (isServer(server)) this.#drained = drainServer(server, this.#options);
  }

  onApplicationBootstrap(): void {
    warnOfOwnListeners(this.bus);
  }

  onApplicationShutdown(): void {
    this.#drained?.dispose();
  }
}

/** Nest hands the signal on to the hooks; its interface does not say so. */
type ClosableApplication = INestApplicationContext & { close(signal?: string): Promise<void> };
type Method = (...args: never[]) => unknown;

/** By what every provider and `app.get` agree on. */
const moduleDrains = new WeakMap<HttpAdapterHost, ModuleDrain>();
const attached = new WeakSet<HttpAdapterHost>();

function hostOf(app: INestApplicationContext): HttpAdapterHost {
  if (typeof app?.get !== 'function' || typeof app.close !== 'function')
    throw invalid('nestShutdown was given no application; allowed: what NestFactory.create resolves to');
  const host = app.get(HttpAdapterHost);
  if (attached.has(host))
    throw invalid('this application is attached already; dispose the first one, or attach once');
  return host;
}

function drainServerOf(app: INestApplicationContext, options: DrainOptions): DrainedServer | undefined {
  const server: unknown = (app as Partial<INestApplication>).getHttpServer?.();
  if (isServer(server)) return drainServer(server, options);
  const { bus: _, ...rest } = options;
  if (Object.keys(rest).length === 0) return undefined;
  throw invalid(
    `this application has no HTTP server, so ${Object.keys(rest).join(', ')} has no effect; allowed: bus`,
  );
}

/** Closes it in the release phase and nowhere else during a shutdown. @returns its undo. */
function closeOnRelease(app: INestApplicationContext, bus: ShutdownBus, dispose: () => void): () => void {
  let release: (closed: Promise<void>) => void = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  released.catch(() => {});
  let releasing = false;
  const unsubscribe = bus.subscribeShutdown(
    ({ reason }) => {
      releasing = true;
      release((app as ClosableApplication).close(signalOf(reason)));
      return released;
    },
    { name: 'close Nest application' },
  );
  const restore = override(app, 'close', (close) => (signal?: string) => {
    if (releasing) {
      releasing = false;
      return close(signal as never);
    }
    if (bus.state !== 'running') return released;
    dispose();
    return close(signal as never);
  });
  return () => {
    unsubscribe();
    restore();
  };
}

/** Removes Nest's own signal listeners and keeps it from adding others. @returns its undo. */
function silenceOwnListeners(app: INestApplicationContext, bus: ShutdownBus): () => void {
  (app as unknown as { unsubscribeFromProcessSignals?(): void }).unsubscribeFromProcessSignals?.();
  warnOfOwnListeners(bus);
  return override(app, 'enableShutdownHooks', () => () => {
    loggerOf(bus).info('app.enableShutdownHooks() is not needed: the bus runs the shutdown hooks');
    return app;
  });
}

/**
 * Puts something in front of a method of an application. What Nest gives out is a proxy of a proxy: assignments go
 * nowhere, definitions get through, and only a call from inside has the application itself as its `this`.
 * @returns its undo.
 */
function override(
  app: INestApplicationContext,
  name: 'close' | 'enableShutdownHooks',
  wrap: (original: Method) => Method,
): () => void {
  const original: Method = Object.getPrototypeOf(app)[name];
  let active = true;
  const value = function (this: unknown, ...args: never[]): unknown {
    const plain: Method = (...own) => original.apply(this, own);
    return (active ? wrap(plain) : plain)(...args);
  };
  Object.defineProperty(app, name, { value, configurable: true, writable: true });
  return () => {
    active = false;
    // Whoever put something on top of ours still calls it; then it only passes on.
    if (Object.getOwnPropertyDescriptor(app, name)?.value === value) Reflect.deleteProperty(app, name);
  };
}

/** The listeners of `app.enableShutdownHooks()` are the only ones that call a hook by this name. */
function warnOfOwnListeners(bus: ShutdownBus): void {
  const listeners = (['SIGTERM', 'SIGINT', 'SIGHUP'] as const).flatMap((signal) => process.listeners(signal));
  if (!listeners.some((listener) => String(listener).includes('callBeforeShutdownHook'))) return;
  loggerOf(bus).warn(
    'app.enableShutdownHooks() closes the HTTP server at the signal, while requests are still open; leave it out and call nestShutdown(app), which runs the same hooks after them',
  );
}

function signalOf(reason: ShutdownReason): string | undefined {
  return reason.kind === 'signal' ? reason.signal : undefined;
}

function invalid(message: string): ShutdownError {
  return new ShutdownError('INVALID_OPTION', message);
}

// The decorators, without a compiler that knows them.
Module({})(ShutdownModule);
Inject(ModuleDrain)(ShutdownModule, undefined, 0);
Optional()(ShutdownModule, undefined, 0);
