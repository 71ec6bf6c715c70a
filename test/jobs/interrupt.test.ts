import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { GracefulExit, guard, Interrupt } from '../../src/index.js';
import { never } from '../test-bus.js';

// Signals are emitted, not sent: SIGABRT sent to this process would end the test run without a listener.
const raise = (signal: NodeJS.Signals) => process.emit(signal, signal);

afterEach(() => {
  for (const signal of ['SIGABRT', 'SIGINT', 'SIGUSR2'] as const) process.removeAllListeners(signal);
});

describe('Interrupt.isCauseOf', () => {
  it('C08: tells an interruption, also behind the AbortError that Node throws for it', async () => {
    const controller = new AbortController();
    const waiting = sleep(60_000, undefined, { signal: controller.signal });
    controller.abort(new GracefulExit());
    const error = await waiting.catch((caught: unknown) => caught);
    expect((error as Error).name).toBe('AbortError');
    expect(Interrupt.isCauseOf(error)).toBe(true);
    expect(Interrupt.isCauseOf(new Interrupt())).toBe(true);
  });

  it('tells it from an abort that somebody else has asked for, and from what is no error', () => {
    const { signal } = new AbortController();
    const circular = new Error('on purpose');
    circular.cause = circular;
    const others = [
      AbortSignal.abort().reason,
      new Error('x', { cause: 'y' }),
      circular,
      signal,
      null,
      undefined,
    ];
    expect(others.map((other) => Interrupt.isCauseOf(other))).toEqual(others.map(() => false));
  });
});

describe('GracefulExit and guard', () => {
  it('C02: a handler for GracefulExit runs, and the section it protects is over', async () => {
    const section = guard(never);
    raise('SIGABRT');
    await expect(section).rejects.toBeInstanceOf(GracefulExit);
  });

  it('C08: GracefulExit is an Interrupt is an Error', () => {
    const error = new GracefulExit();
    expect(error).toBeInstanceOf(Interrupt);
    expect(error).toBeInstanceOf(Error);
    expect([error.name, new Interrupt().name]).toEqual(['GracefulExit', 'Interrupt']);
  });

  it('C09: it carries the signal, its number and the stack of the interruption', () => {
    const error = new GracefulExit('SIGABRT');
    expect(error).toMatchObject({ signal: 'SIGABRT', signum: 6 });
    expect(error.stack).toContain('interrupt.test.ts');
  });

  it('C10: its message is "SIGABRT received."', () => {
    expect(new GracefulExit('SIGABRT').message).toBe('SIGABRT received.');
    expect(new Interrupt('SIGINT').message).toBe('SIGINT received.');
  });

  it('C11: GracefulExit.throw is a signal listener: it rejects the guarded section, and throws without one', async () => {
    process.on('SIGUSR2', GracefulExit.throw);
    const section = guard(never, { signals: [] });
    raise('SIGUSR2');
    await expect(section).rejects.toMatchObject({ signal: 'SIGUSR2', message: 'SIGUSR2 received.' });
    expect(() => GracefulExit.throw('SIGABRT', 6)).toThrow('SIGABRT received.');
  });

  it('C12: its listeners are there from the begin of the section and gone at its end', async () => {
    const before = process.listenerCount('SIGABRT');
    const section = guard(async () => process.listenerCount('SIGABRT'));
    expect(await section).toBe(before + 1);
    expect(process.listenerCount('SIGABRT')).toBe(before);
    await expect(guard(() => Promise.reject(new Error('own')))).rejects.toThrow('own');
    expect(process.listenerCount('SIGABRT')).toBe(before);
  });

  it('C13: try/catch round a sensitive section sees the interruption, and the section its signal', async () => {
    let seen: AbortSignal | undefined;
    let caught: unknown;
    const run = (async () => {
      try {
        await guard((signal) => {
          seen = signal;
          return never();
        });
      } catch (error) {
        caught = error;
      }
    })();
    raise('SIGABRT');
    await run;
    expect(seen?.reason).toBe(caught);
    expect(caught).toBeInstanceOf(GracefulExit);
  });

  it.each([
    ['SIGABRT', { parent: true, child: true, either: 'child' }],
    ['SIGINT', { parent: true, child: false, either: 'parent' }],
  ] as const)(
    'C14: %s is caught as the parent, as the child only, or by whichever fits first',
    async (signal, expected) => {
      const section = guard(never);
      raise(signal);
      const error: unknown = await section.catch((reason: unknown) => reason);
      const either =
        error instanceof GracefulExit ? 'child' : error instanceof Interrupt ? 'parent' : 'neither';
      expect({ parent: error instanceof Interrupt, child: error instanceof GracefulExit, either }).toEqual(
        expected,
      );
    },
  );

  it('C15: SIGINT is an Interrupt that is no GracefulExit', async () => {
    const section = guard(never);
    raise('SIGINT');
    const error: unknown = await section.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Interrupt);
    expect(error).not.toBeInstanceOf(GracefulExit);
  });

  it('a section that ends by itself is not touched by a later signal', async () => {
    await expect(guard(() => 42)).resolves.toBe(42);
    expect(raise('SIGABRT')).toBe(false);
  });

  it('several sections at the same time are all rejected', async () => {
    const sections = [guard(never), guard(never)];
    raise('SIGABRT');
    const results = await Promise.allSettled(sections);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });
});
