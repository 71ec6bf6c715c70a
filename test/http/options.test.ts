import { createServer } from 'node:http';
import { createServer as createNetServer } from 'node:net';
import express from 'express';
import fastify from 'fastify';
import Koa from 'koa';
import { afterEach, describe, expect, it } from 'vitest';
import { DRAIN_DEFAULTS, type DrainOptions, drainServer } from '../../http/index.js';
import { resolveOptions } from '../../http/options.js';
import { isShutdownError, type ShutdownBus } from '../../src/index.js';
import { openBus } from './service.js';

const buses: ShutdownBus[] = [];

afterEach(() => {
  for (const bus of buses.splice(0)) bus.dispose();
});

function busOf(options: Parameters<typeof openBus>[0] = {}): ShutdownBus {
  const { bus } = openBus(options);
  buses.push(bus);
  return bus;
}

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (isShutdownError(error, 'INVALID_OPTION')) return error.message;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('options of drainServer', () => {
  it('B17: have the documented defaults, the backlog drained', () => {
    const bus = busOf({ readinessDelayMs: 123 });
    expect(resolveOptions({ bus })).toEqual({
      bus,
      readinessDelayMs: 123,
      readinessPath: undefined,
      livenessPath: undefined,
      ...DRAIN_DEFAULTS,
    });
    expect(DRAIN_DEFAULTS).toEqual({ answer: 'wait', drainBacklog: true, idleLingerMs: 250 });
  });

  it('B10: readinessDelayMs may be all that the reserves leave, and not more', () => {
    // budget 1000 - reserve 300 - release 100 - grace 100
    const bus = busOf({ budgetMs: 1000 });
    expect(resolveOptions({ bus, readinessDelayMs: 500 }).readinessDelayMs).toBe(500);
    expect(refusal(() => resolveOptions({ bus, readinessDelayMs: 501 }))).toContain(
      'milliseconds from 0 to 500',
    );
  });

  it('idleLingerMs may be the budget, and not more', () => {
    const bus = busOf({ budgetMs: 100 });
    expect(resolveOptions({ bus }).idleLingerMs).toBe(100);
    expect(refusal(() => resolveOptions({ bus, idleLingerMs: 101 }))).toContain('milliseconds from 0 to 100');
  });

  it.each([
    [{ bus: {} }, 'bus is no bus'],
    [{ readyPath: '/x' }, '"readyPath" is no option, allowed: bus, '],
    [{ readinessPath: 'readyz' }, 'readinessPath is "readyz"'],
    [{ livenessPath: '/live?x' }, 'livenessPath is "/live?x"'],
    [{ readinessPath: '/x', livenessPath: '/x' }, 'are the same'],
    [
      { answer: 'never' },
      'answer is "never", allowed: { status?, body?, headers? }; or \'wait\', or a function',
    ],
    [{ answer: { status: 42 } }, 'answer has the status 42, allowed: an integer from 200 to 599'],
    [{ answer: { body: 42 } }, 'answer has the body 42, allowed: a text'],
    [{ drainBacklog: 'yes' }, 'drainBacklog is "yes"'],
    [{ idleLingerMs: -1 }, 'idleLingerMs is -1'],
    [{ idleLingerMs: Number.NaN }, 'idleLingerMs is NaN'],
    [{ readinessDelayMs: '5' }, 'readinessDelayMs is "5"'],
  ])('refuse %j', (options, words) => {
    expect(refusal(() => resolveOptions({ bus: busOf(), ...options } as DrainOptions))).toContain(words);
  });

  it('list everything that is wrong at once', () => {
    const message = refusal(() =>
      resolveOptions({ bus: busOf(), readinessPath: 'a', livenessPath: 'b' } as DrainOptions),
    );
    expect(message).toContain('readinessPath is "a"');
    expect(message).toContain('livenessPath is "b"');
  });
});

describe('drainServer', () => {
  it.each([
    ['nothing', undefined],
    ['an object', {}],
    ['a TCP server', createNetServer()],
  ])('refuses %s', (_name, server) => {
    expect(refusal(() => drainServer(server as never, { bus: busOf() }))).toContain('was given no server');
  });

  it.each([
    ['Express', express(), 'in Express and Koa what app.listen(port) returns'],
    ['Koa', new Koa(), 'in Express and Koa what app.listen(port) returns'],
    ['Fastify', fastify(), 'Fastify has fastifyShutdown'],
  ])('refuses an application of %s, and says what to give it instead', (_name, app, cure) => {
    expect(refusal(() => drainServer(app as never, { bus: busOf() }))).toContain(cure);
  });

  it('refuses a server that is drained already, until that is disposed', () => {
    const bus = busOf();
    const server = createServer();
    const first = drainServer(server, { bus });
    expect(refusal(() => drainServer(server, { bus }))).toContain('drained already');
    first.dispose();
    const second = drainServer(server, { bus });
    first.dispose();
    expect(refusal(() => drainServer(server, { bus }))).toContain('drained already');
    second.dispose();
  });

  it('throws PHASE_PAST during a shutdown and leaves the server as it was', async () => {
    const bus = busOf();
    await bus.requestShutdown();
    const server = createServer();
    expect(() => drainServer(server, { bus })).toThrow(expect.objectContaining({ code: 'PHASE_PAST' }));
    expect(Object.hasOwn(server, 'emit')).toBe(false);
    expect(server.listenerCount('connection')).toBe(createServer().listenerCount('connection'));
  });
});
