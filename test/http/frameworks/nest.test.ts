import 'reflect-metadata';
import { once } from 'node:events';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ArgumentsHost,
  Catch,
  Controller,
  Get,
  type INestApplication,
  Inject,
  Module,
  Req,
} from '@nestjs/common';
import { BaseExceptionFilter, NestFactory } from '@nestjs/core';
import { afterEach, describe, expect, it } from 'vitest';
import { nestShutdown, SHUTDOWN_BUS, ShutdownModule } from '../../../http/nest.js';
import { createShutdownBus, Interrupt, ShutdownBus } from '../../../src/index.js';
import { type MemoryNotifier, memoryNotifier } from '../../../src/testing/memory-notifier.js';
import type { LineLogger } from '../../test-bus.js';
import { gate, openBus, until } from '../service.js';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** What happened, in its order. */
type Diary = string[];

interface Pages {
  readonly bus: ShutdownBus | undefined;
  readonly diary: Diary;
  /** Opens the page that waits. */
  readonly held: ReturnType<typeof gate<void>>;
}

/** A controller with a page that waits and one that never ends, and a provider with every hook; decorated by hand. */
function pagesModule({ bus, diary, held }: Pages, imports: unknown[]) {
  class PageController {
    async page(): Promise<string> {
      diary.push('page asked for');
      await held.opened;
      return 'rendered';
    }
    endless({ url }: { url: string }): Promise<string> {
      diary.push('endless page asked for');
      bus?.jobs.begin({ type: 'page', payload: { url } });
      return new Promise(() => {});
    }
    async interrupted(): Promise<void> {
      diary.push('interrupted page asked for');
      await bus?.jobs.run({ type: 'page' }, ({ signal }) => sleep(3_600_000, undefined, { signal }));
    }
  }
  Get('page')(PageController.prototype, 'page', descriptorOf(PageController, 'page'));
  Get('endless')(PageController.prototype, 'endless', descriptorOf(PageController, 'endless'));
  Get('interrupted')(PageController.prototype, 'interrupted', descriptorOf(PageController, 'interrupted'));
  Req()(PageController.prototype, 'endless', 0);
  Controller()(PageController);

  class Pool {
    onModuleDestroy() {
      diary.push('onModuleDestroy');
    }
    beforeApplicationShutdown(signal?: string) {
      diary.push(`beforeApplicationShutdown ${signal}`);
    }
    onApplicationShutdown(signal?: string) {
      diary.push(`onApplicationShutdown ${signal}`);
    }
  }
  class AppModule {}
  Module({ imports: imports as never[], controllers: [PageController], providers: [Pool] })(AppModule);
  return AppModule;
}

const descriptorOf = (target: { prototype: object }, name: string) =>
  Object.getOwnPropertyDescriptor(target.prototype, name) as PropertyDescriptor;

interface Bench {
  readonly app: INestApplication;
  readonly bus: ShutdownBus;
  readonly notifier: MemoryNotifier;
  readonly log: LineLogger;
  readonly diary: Diary;
  readonly held: ReturnType<typeof gate<void>>;
  get(path: string): Promise<{ status: number | undefined; body: string }>;
}

interface BenchOptions {
  /** `ShutdownModule` is imported. */
  readonly module?: boolean;
  /** Before it listens. */
  prepare?(app: INestApplication, bus: ShutdownBus): unknown;
}

async function openApp({ module = true, prepare }: BenchOptions = {}): Promise<Bench> {
  const notifier = memoryNotifier();
  const { bus, log } = openBus({ budgetMs: 2000, notifiers: [notifier] });
  const diary: Diary = [];
  const held = gate();
  const imports = module ? [ShutdownModule.forRoot({ bus, readinessPath: '/ready' })] : [];
  const app = await NestFactory.create(pagesModule({ bus, diary, held }, imports), { logger: false });
  cleanups.push(
    () => bus.dispose(),
    () => app.close(),
    () => app.getHttpServer().closeAllConnections(),
  );
  prepare?.(app, bus);
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  bus.on('delivery', () => diary.push('reported'));
  return { app, bus, notifier, log, diary, held, get: (path) => ask(port, path) };
}

async function ask(port: number, path: string) {
  const asked = request({ host: '127.0.0.1', port, path, agent: false });
  asked.end();
  const [response] = await once(asked, 'response');
  return { status: response.statusCode as number | undefined, body: await text(response) };
}

const signal = { kind: 'signal', signal: 'SIGTERM' } as const;
const hooks = ['onModuleDestroy', 'beforeApplicationShutdown SIGTERM', 'onApplicationShutdown SIGTERM'];

/** Everything that Nest or this package could leave on the process. */
const processListeners = () =>
  (['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const).map((name) => process.listenerCount(name));

describe('ShutdownModule', () => {
  it('drains the server of the application: readiness is its own, and a request in flight is answered', async () => {
    const { bus, diary, held, get } = await openApp();
    expect((await get('/ready')).status).toBe(200);
    const page = get('/page');
    await until(() => diary.length === 1);
    const report = bus.simulate(signal);
    expect((await get('/ready')).status).toBe(503);
    held.open();
    expect(await page).toEqual({ status: 200, body: 'rendered' });
    const { handlers } = await report;
    expect(handlers.find(({ name }) => name.startsWith('drain '))?.details).toMatchObject({
      requests: 1,
      answered: 1,
      reset: 0,
    });
  });

  it('without it nobody drains: no readiness, and the shutdown does not see the request', async () => {
    const { bus, diary, get } = await openApp({ module: false });
    expect((await get('/ready')).status).toBe(404);
    const page = get('/page');
    page.catch(() => {});
    await until(() => diary.length === 1);
    const { handlers } = await bus.simulate(signal);
    expect(handlers.filter(({ name }) => name.startsWith('drain '))).toEqual([]);
  });

  it('reports the job of a request that cannot finish, and then answers it', async () => {
    const { bus, notifier, diary, get } = await openApp();
    const endless = get('/endless');
    await until(() => diary.length === 1);
    await bus.simulate(signal);
    expect((await endless).status).toBe(503);
    expect(notifier.received.map(({ data }) => data.payload)).toEqual([{ url: '/endless' }]);
  });

  it.each([
    ['leaves a request whose job was interrupted to a drain, with a filter that does so', true, 202],
    ['twin: without such a filter Nest answers it', false, 500],
  ])('%s', async (_title, filtered, status) => {
    class InterruptionFilter extends BaseExceptionFilter {
      override catch(error: Error, host: ArgumentsHost) {
        if (!(error.cause instanceof Interrupt)) super.catch(error, host);
      }
    }
    Catch()(InterruptionFilter);
    const { bus, diary, get } = await openApp({
      module: false,
      prepare: (app, bus) => {
        nestShutdown(app, { bus, answer: { status: 202 } });
        if (filtered) app.useGlobalFilters(new InterruptionFilter(app.getHttpAdapter()));
      },
    });
    const page = get('/interrupted');
    await until(() => diary.length === 1);
    const { jobs } = await bus.simulate(signal);
    expect((await page).status).toBe(status);
    expect(jobs).toMatchObject({ incomplete: 1, delivered: 1 });
  });

  it('gives the bus to providers, by its token and by its class, also in other modules', async () => {
    class ByToken {
      constructor(readonly bus: ShutdownBus) {}
    }
    Inject(SHUTDOWN_BUS)(ByToken, undefined, 0);
    class ByClass {
      constructor(readonly bus: ShutdownBus) {}
    }
    Inject(ShutdownBus)(ByClass, undefined, 0);
    class OtherModule {}
    Module({ providers: [ByToken, ByClass] })(OtherModule);
    class AppModule {}
    const { bus } = openBus();
    Module({ imports: [OtherModule, ShutdownModule.forRoot({ bus })] })(AppModule);
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    expect([app.get(ByToken).bus, app.get(ByClass).bus]).toEqual([bus, bus]);
    await app.close();
    bus.dispose();
  });

  it('makes the application fail to start with options that are not usable', async () => {
    const { bus } = openBus();
    class AppModule {}
    Module({ imports: [ShutdownModule.forRoot({ bus, readinesPath: '/' } as never)] })(AppModule);
    const app = await NestFactory.create(AppModule, { logger: false });
    await expect(app.init()).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining('"readinesPath" is no option'),
    });
    bus.dispose();
  });

  it.each([
    ['without forRoot', () => [ShutdownModule], 'allowed: ShutdownModule.forRoot(options)'],
    [
      'twice',
      (bus: ShutdownBus) => [
        ShutdownModule.forRoot({ bus }),
        ShutdownModule.forRoot({ bus, livenessPath: '/live' }),
      ],
      'allowed: forRoot(options) once',
    ],
  ] as const)('imported %s is refused at the start', async (_how, imports, cure) => {
    const { bus } = openBus();
    class AppModule {}
    Module({ imports: [...imports(bus)] })(AppModule);
    const creating = NestFactory.create(AppModule, { logger: false, abortOnError: false });
    await expect(creating).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining(cure),
    });
    bus.dispose();
  });
});

describe('nestShutdown', () => {
  it('runs the hooks of all providers in the release phase, after requests and reports, with the signal', async () => {
    const { bus, diary, held, get } = await openApp({ prepare: (app) => nestShutdown(app) });
    bus.on('phase-started', ({ phase }) => diary.push(`phase ${phase}`));
    const endless = get('/endless');
    const page = get('/page');
    await until(() => diary.length === 2);
    const report = bus.simulate(signal);
    await until(() => diary.includes('phase drain'));
    held.open();
    void page.then(() => diary.push('page answered'));
    expect((await endless).status).toBe(503);
    const { handlers, exitCode } = await report;
    expect(diary.slice(2)).toEqual([
      'phase intake',
      'phase drain',
      'page answered',
      'phase deliver',
      'reported',
      'phase release',
      ...hooks,
    ]);
    expect(handlers.at(-1)).toMatchObject({
      name: 'close Nest application',
      phase: 'release',
      outcome: 'done',
    });
    expect(exitCode).toBe(0);
  });

  it('without it the hooks do not run: a module cannot close its application', async () => {
    const { bus, diary } = await openApp();
    await bus.simulate(signal);
    expect(diary).toEqual([]);
  });

  it('drains the server itself where the module is not imported', async () => {
    const { bus, diary, held, get } = await openApp({
      module: false,
      prepare: (app, bus) => nestShutdown(app, { bus, readinessPath: '/ready' }),
    });
    expect((await get('/ready')).status).toBe(200);
    const page = get('/page');
    await until(() => diary.length === 1);
    const report = bus.simulate(signal);
    held.open();
    expect((await page).status).toBe(200);
    await report;
    expect(diary.slice(1)).toEqual(hooks);
  });

  it('a hook that fails or hangs is named in the report and ends with the budget', async () => {
    const { bus } = openBus({ budgetMs: 1000 });
    class Pool {
      onModuleDestroy() {
        return new Promise(() => {});
      }
    }
    class AppModule {}
    Module({ providers: [Pool] })(AppModule);
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    nestShutdown(app, { bus });
    const { handlers, durationMs } = await bus.simulate(signal);
    expect(handlers.at(-1)).toMatchObject({ name: 'close Nest application', outcome: 'timed-out' });
    expect(durationMs).toBeLessThan(1200);
    bus.dispose();
  });

  it('gives the hooks no signal when the reason is none', async () => {
    const { bus, diary } = await openApp({ prepare: (app) => nestShutdown(app) });
    await bus.requestShutdown();
    expect(diary).toContain('onApplicationShutdown undefined');
  });

  it.each(['before', 'after'] as const)(
    'makes app.enableShutdownHooks() harmless, called %s it',
    async (when) => {
      const listeners = processListeners();
      const { bus, diary, log } = await openApp({
        prepare: (app) => {
          if (when === 'before') app.enableShutdownHooks();
          nestShutdown(app);
          if (when === 'after') expect(app.enableShutdownHooks()).toBe(app);
        },
      });
      expect(processListeners()).toEqual(listeners);
      expect(log.lines.join('\n')).not.toContain('closes the HTTP server at the signal');
      await bus.simulate(signal);
      expect(diary).toEqual(hooks);
    },
  );

  it('without it, app.enableShutdownHooks() is warned of at the start, with the cure', async () => {
    const { log, app } = await openApp({ prepare: (app) => app.enableShutdownHooks() });
    const warnings = log.lines.filter((line) => line.includes('enableShutdownHooks'));
    expect(warnings).toEqual([expect.stringContaining('leave it out and call nestShutdown(app)')]);
    await app.close();
  });

  it('app.close() in the application’s own signal handler waits for the release phase', async () => {
    const { app, bus, diary, held, get } = await openApp({ prepare: (app) => nestShutdown(app) });
    const page = get('/page');
    await until(() => diary.length === 1);
    let closed: Promise<void> | undefined;
    bus.on('stopping', () => {
      closed = app.close();
    });
    const report = bus.simulate(signal);
    await until(() => closed !== undefined);
    expect(diary).toEqual(['page asked for']);
    held.open();
    expect((await page).status).toBe(200);
    await report;
    await closed;
    expect(diary.slice(1)).toEqual(hooks);
    await app.close();
    expect(diary.slice(1)).toEqual(hooks);
  });
});

describe('app.close() of a test', () => {
  it.each([true, false])('leaves nothing behind, with the module %s', async (module) => {
    const { bus } = openBus();
    const run = async () => {
      const diary: Diary = [];
      const imports = module ? [ShutdownModule.forRoot({ bus })] : [];
      const AppModule = pagesModule({ bus, diary, held: gate() }, imports);
      const app = await NestFactory.create(AppModule, { logger: false });
      nestShutdown(app, module ? {} : { bus });
      await app.listen(0, '127.0.0.1');
      const server = app.getHttpServer();
      await app.close();
      expect(diary.at(-1)).toBe('onApplicationShutdown undefined');
      expect(Object.hasOwn(server, 'emit')).toBe(false);
      expect(bus.eventNames()).toEqual([]);
    };
    await run();
    await run();
    const { handlers } = await bus.simulate(signal);
    expect(handlers.map(({ name }) => name)).toEqual([
      'finish open jobs',
      'interrupt open jobs',
      'report open jobs',
    ]);
    bus.dispose();
  });

  it('dispose leaves the application to whoever made it', async () => {
    const { app, bus, diary } = await openApp({ prepare: (app) => nestShutdown(app).dispose() });
    await bus.simulate(signal);
    expect(diary).toEqual([]);
    await app.close();
    expect(diary.at(-1)).toBe('onApplicationShutdown undefined');
  });

  it('leaves what somebody put on top of its close(), and only passes on below that', async () => {
    const calls: string[] = [];
    const { app, bus, diary } = await openApp({
      prepare: (app) => {
        const { dispose } = nestShutdown(app);
        const ours = Object.getOwnPropertyDescriptor(app, 'close')?.value as () => Promise<void>;
        const value = function (this: unknown) {
          calls.push('theirs');
          return ours.call(this);
        };
        Object.defineProperty(app, 'close', { value, configurable: true });
        dispose();
      },
    });
    await bus.simulate(signal);
    // With ours still at work it would wait for a release phase that knows nothing of the application.
    await app.close();
    expect(calls).toEqual(['theirs']);
    expect(diary.at(-1)).toBe('onApplicationShutdown undefined');
  });
});

describe('what nestShutdown refuses', () => {
  const refused = (part: string) =>
    expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining(part) });

  it('is anything but an application, and one that is attached already', async () => {
    expect(() => nestShutdown({} as never)).toThrow(refused('allowed: what NestFactory.create resolves to'));
    const { app } = await openApp({ prepare: (app) => nestShutdown(app) });
    expect(() => nestShutdown(app)).toThrow(refused('attached already'));
  });

  it('are options beside the module, which has its own', async () => {
    const { app } = await openApp();
    expect(() => nestShutdown(app, { readinessPath: '/ready' })).toThrow(refused('forRoot(options)'));
  });

  it('are options for a server that is not there', async () => {
    const { bus } = openBus();
    class AppModule {}
    Module({})(AppModule);
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    expect(() => nestShutdown(app, { bus, readinessPath: '/ready' })).toThrow(refused('allowed: bus'));
    const { drained, dispose } = nestShutdown(app, { bus });
    expect(drained).toBeUndefined();
    dispose();
    bus.dispose();
  });

  it('is a bus that takes no more handlers; nothing stays on the application', async () => {
    const bus = createShutdownBus({ exit: false, watchdog: false });
    bus.dispose();
    const { app } = await openApp({ module: false });
    expect(() => nestShutdown(app, { bus })).toThrow(expect.objectContaining({ code: 'BUS_DISPOSED' }));
    expect(Object.hasOwn(app.getHttpServer(), 'emit')).toBe(false);
  });
});
