import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { DrainOptions } from '../../../http/index.js';
import type { ShutdownBus } from '../../../src/index.js';
import { type MemoryNotifier, memoryNotifier } from '../../../src/testing/memory-notifier.js';
import { RawClient } from '../raw-client.js';
import { gate, openBus, until } from '../service.js';

/** What the routes of an application do, whatever it is made with. */
export interface Routes {
  readonly bus: ShutdownBus;
  /** GET /held: its text is the answer. What it throws is left to the framework. */
  held(): Promise<string>;
  /** GET /now: this text. */
  now(): string;
  /** POST /job, with a body of JSON: begins a job with it when the body was parsed, and does not come back. */
  job(body: unknown): Promise<never>;
  /** GET /stream: these pieces of text, each sent when it comes. */
  pieces(): AsyncGenerator<string>;
}

/** An application that serves the {@link Routes} and listens on 127.0.0.1, drained if `drain` says how. */
export type StartApplication = (
  routes: Routes,
  drain: DrainOptions | undefined,
) => Promise<{ readonly server: Server; readonly undo?: () => unknown }>;

/** An application under test. */
export interface Running {
  readonly bus: ShutdownBus;
  readonly notifier: MemoryNotifier;
  readonly server: Server;
  /** Requests that have reached a handler. */
  readonly entered: readonly string[];
  /** What GET /held waits for: settle it to let the framework answer. */
  readonly held: ReturnType<typeof gate<string>>;
  /** What the second piece of GET /stream waits for. */
  readonly second: ReturnType<typeof gate<void>>;
  client(): RawClient;
}

const undos: (() => unknown)[] = [];

/** Ends what the tests of a file have started. */
export async function endApplications(): Promise<void> {
  for (const undo of undos.splice(0).reverse()) await undo();
}

/** Starts an application with a bus of its own, of which a shutdown takes a second at most. */
export async function run(
  start: StartApplication,
  drain: Omit<DrainOptions, 'bus'> | undefined = {},
): Promise<Running> {
  const notifier = memoryNotifier();
  const { bus } = openBus({ notifiers: [notifier], budgetMs: 1000 });
  const entered: string[] = [];
  const held = gate<string>();
  const second = gate();
  const routes: Routes = {
    bus,
    held: () => {
      entered.push('held');
      return held.opened;
    },
    now: () => {
      entered.push('now');
      return 'served';
    },
    job: (payload) => {
      bus.jobs.begin({ type: 'parsed', payload });
      entered.push('job');
      return new Promise<never>(() => {});
    },
    async *pieces() {
      entered.push('stream');
      yield 'one,';
      await second.opened;
      yield 'two';
    },
  };
  const { server, undo } = await start(routes, drain && { bus, ...drain });
  const { port } = server.address() as AddressInfo;
  undos.push(() => {
    bus.dispose();
    server.close();
    server.closeAllConnections?.();
  });
  if (undo) undos.push(undo);
  return { bus, notifier, server, entered, held, second, client: () => new RawClient(port) };
}

const RECORDED = { status: 202, body: 'not done, but on record\n' };

/** What every framework must do on a drained server, each guard with its twin. */
export function describeFramework(name: string, start: StartApplication): void {
  describe(`a drained ${name} application`, () => {
    afterEach(endApplications);

    it('finishes a request in flight with its own answer, and says that the connection ends', async () => {
      const { bus, entered, held, client } = await run(start);
      const reader = client().get('/held');
      await until(() => entered.length === 1);
      const report = bus.requestShutdown();
      held.open('finished');
      await reader.until('finished');
      await reader.closed;
      expect(reader.statuses).toEqual([200]);
      expect(reader.text).toMatch(/^connection: close\r$/im);
      expect(reader.error).toBeUndefined();
      expect((await report).handlers.map(({ outcome }) => outcome)).not.toContain('timed-out');
    });

    it('serves a request that comes on an idle connection while another one is finishing', async () => {
      const { bus, entered, held, client } = await run(start);
      const [idle, busy] = [client().get('/now'), client().get('/held')];
      await idle.until('served');
      await until(() => entered.includes('held'));
      const report = bus.requestShutdown();
      idle.get('/now');
      await idle.closed;
      expect(idle.statuses).toEqual([200, 200]);
      expect(idle.text.slice(idle.text.lastIndexOf('HTTP/1.1'))).toMatch(/^connection: close\r$/im);
      held.open('finished');
      await busy.closed;
      expect(busy.body).toContain('finished');
      expect((await report).exitCode).toBe(0);
    });

    it('twin: without a drain, close() resets the idle connection under such a request', async () => {
      const { server, entered, held, client } = await run(start, undefined);
      const [idle, busy] = [client().get('/now'), client().get('/held')];
      await idle.until('served');
      await until(() => entered.includes('held'));
      server.close();
      idle.get('/now');
      await idle.closed;
      expect(idle.statuses).toEqual([200]);
      held.open('finished');
      await busy.until('finished');
    });

    it('answers a request that is open at the deadline, and takes no second answer', async () => {
      const { bus, entered, held, client } = await run(start, { answer: RECORDED });
      const reader = client().get('/held');
      await until(() => entered.length === 1);
      const report = bus.requestShutdown();
      await reader.until('on record');
      held.open('too late');
      for (let turns = 0; turns < 10; turns += 1) await turn();
      await reader.closed;
      expect(reader.statuses).toEqual([202]);
      expect(reader.text).not.toContain('too late');
      expect(reader.error).toBeUndefined();
      await report;
    });

    it('answers it also when the handler fails afterwards', async () => {
      const { bus, entered, held, client } = await run(start, { answer: RECORDED });
      const reader = client().get('/held');
      await until(() => entered.length === 1);
      const report = bus.requestShutdown();
      await reader.until('on record');
      held.open(Promise.reject(new Error('failed too late')) as never);
      for (let turns = 0; turns < 10; turns += 1) await turn();
      await reader.closed;
      expect(reader.statuses).toEqual([202]);
      expect(reader.body).toBe(RECORDED.body);
      await report;
    });

    it('twin: without a drain, such a request is cut off without an answer', async () => {
      const { server, entered, held, client } = await run(start, undefined);
      const reader = client().get('/held');
      await until(() => entered.length === 1);
      server.closeAllConnections();
      await reader.closed;
      expect(reader.statuses).toEqual([]);
      held.open('too late');
    });

    it('answers a request after the report of the job that was begun when its body was parsed', async () => {
      const order: string[] = [];
      const { bus, notifier, client } = await run(start, {
        answer: (_request, jobs, outcome) => {
          order.push(...notifier.received.map(({ data }) => `reported: ${data.jobType}`));
          order.push(`answered: ${jobs.map(({ type }) => type)} ${outcome}`);
          return RECORDED;
        },
      });
      const reader = client();
      const body = JSON.stringify({ film: 'Metropolis' });
      const head = `POST /job HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`;
      // In two parts: a body that comes later comes from outside of the request's own turn.
      reader.socket.write(`${head}\r\n\r\n`);
      await until(() => reader.socket.bytesWritten > head.length);
      await turn();
      reader.socket.write(body);
      await until(() => bus.jobs.size === 1);
      const report = bus.requestShutdown();
      await reader.closed;
      expect(reader.statuses).toEqual([202]);
      expect(order).toEqual(['reported: parsed', 'answered: parsed delivered']);
      expect(notifier.received.map(({ data }) => data.payload)).toEqual([{ film: 'Metropolis' }]);
      await report;
    });

    it('lets a response that is being streamed come to its end', async () => {
      const { bus, second, client } = await run(start);
      const reader = client().get('/stream');
      await reader.until('one,');
      const report = bus.requestShutdown();
      second.open();
      await reader.closed;
      expect(reader.text).toContain('two');
      expect(reader.text.endsWith('0\r\n\r\n')).toBe(true);
      expect(reader.error).toBeUndefined();
      expect((await report).exitCode).toBe(0);
    });

    it('answers its own route by the readiness probe: 503 from the trigger on', async () => {
      const { bus, entered, held, client } = await run(start);
      const [idle, busy] = [client().get('/ready'), client().get('/held')];
      await idle.until('ok\n');
      await until(() => entered.includes('held'));
      const report = bus.requestShutdown();
      idle.get('/ready');
      await idle.closed;
      expect(idle.statuses).toEqual([200, 503]);
      held.open('finished');
      await busy.closed;
      await report;
    });
  });
}
