import { describe, expect, it } from 'vitest';
import { createShutdownBus, isShutdownError, type ShutdownBus, type ShutdownReport } from '../src/index.js';
import { createFakeClock } from '../src/testing/fake-clock.js';
import { createFakeProcess } from '../src/testing/fake-process.js';
import { createTestBus, never, pass, settle } from './test-bus.js';

describe('the bus', () => {
  it('A13: the instance id is 12 hex digits, in every log line and envelope', async () => {
    const { bus, clock, lines, notifier } = createTestBus();
    bus.jobs.begin({ type: 'render' });
    bus.subscribeShutdown(
      () => {
        throw new Error('two\nlines');
      },
      { name: 'thrower', phase: 'intake' },
    );
    const running = bus.requestShutdown();
    bus.jobs.begin({ type: 'late' }).complete();
    await pass(clock, 10_000, 500);
    await running;
    expect(bus.instanceId).toMatch(/^[0-9a-f]{12}$/);
    expect(lines.length).toBeGreaterThan(3);
    for (const line of lines) {
      expect(line).toContain(` ${bus.instanceId} `);
      expect(line).not.toContain('\n');
    }
    expect(notifier.received[0]).toMatchObject({
      id: `${bus.instanceId}/1`,
      data: { instanceId: bus.instanceId },
    });
  });

  it('a handler is known by the line that subscribed it, also of an application beside this package', async () => {
    const { bus } = createTestBus();
    bus.subscribeShutdown(() => {}, { name: 'pool' });
    const [, place] = (await bus.requestShutdown()).handlers.flatMap(({ name, registeredAt }) =>
      name === 'pool' ? [name, registeredAt] : [],
    );
    expect(place).toMatch(/test\/bus\.test\.ts:\d+:\d+$/);
  });

  it('A13: two buses have different ids', () => {
    expect(createTestBus().bus.instanceId).not.toBe(createTestBus().bus.instanceId);
  });

  it('A24: the signal is logged by name and number', async () => {
    const { bus, host, lines } = createTestBus();
    host.kill('SIGTERM');
    await bus.requestShutdown();
    expect(lines[0]).toMatch(/stopping: SIGTERM \(15\), 0 jobs open/);
  });

  it('A21: a notifier that fails is logged with its error, once for each different one', async () => {
    const { bus, lines, clock } = createTestBus({
      interruptGraceMs: 0,
      notifiers: [{ name: 'C', deliver: () => Promise.reject(new Error('connection refused')) }],
    });
    bus.jobs.begin({ type: 'render' });
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 100);
    const report = await running;
    const errors = lines.filter((line) => /notifier C failed/.test(line));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/attempt 1: connection refused/);
    expect(report.notifiers[0]).toMatchObject({ expired: 1, errors: [{ message: 'connection refused' }] });
    expect(report.notifiers[0]?.attempts).toBeGreaterThan(2);
  });

  it('A25 D20: the exit code is 0 when every job finished or was delivered, and a function may choose another', async () => {
    const codes: number[] = [];
    const clean = createTestBus({ exit: (code) => void codes.push(code), interruptGraceMs: 0 });
    clean.bus.jobs.begin({ type: 'delivered' });
    const running = clean.bus.requestShutdown();
    await pass(clean.clock, 10_000, 500);
    await running;
    await expect.poll(() => codes).toEqual([0]);
    expect(clean.host.exitCode).toBeUndefined();
  });

  it('A32: jobs that are incomplete at SIGTERM reach the notifier', async () => {
    const { bus, host, notifier, clock } = createTestBus({ interruptGraceMs: 0 });
    bus.jobs.begin({ type: 'render', payload: { page: 1 } });
    bus.jobs.begin({ type: 'done' }).complete();
    host.kill('SIGTERM');
    await pass(clock, 10_000, 500);
    const report = await bus.requestShutdown();
    expect(
      notifier.received.map(({ data }) => [data.jobType, data.payload, data.reason, data.outcome]),
    ).toEqual([['render', { page: 1 }, 'SIGTERM', 'interrupted']]);
    expect(report.jobs).toMatchObject({ open: 1, incomplete: 1, delivered: 1 });
    expect(host.exitCode ?? (await host.exited)).toBe(0);
  });

  it('A09: every notifier gets the payload of every unfinished job', async () => {
    const got: Record<string, string[]> = { C: [], D: [] };
    const notifier = (name: string) => ({
      name,
      maxBatchSize: 100,
      deliver: async (batch: readonly { id: string; subject: string }[]) => {
        got[name]?.push(...batch.map(({ subject }) => subject));
        return batch.map(({ id }) => ({ id, status: 'delivered' as const }));
      },
    });
    const { bus, clock } = createTestBus({ notifiers: [notifier('C'), notifier('D')], interruptGraceMs: 0 });
    for (const id of ['a', 'b', 'c']) bus.jobs.begin({ type: 'render', id });
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 500);
    await running;
    expect(got).toEqual({ C: ['a', 'b', 'c'], D: ['a', 'b', 'c'] });
  });

  it('A payload that cannot be serialised costs no other job its report', async () => {
    const { bus, clock, notifier } = createTestBus({ interruptGraceMs: 0 });
    const hostile = new Proxy(
      {},
      {
        get: () => {
          throw new Error('no');
        },
      },
    );
    bus.jobs.begin({ type: 'first', payload: 1 });
    bus.jobs.begin({ type: 'hostile', payload: hostile });
    bus.jobs.begin({ type: 'last', payload: 3 });
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 500);
    await running;
    expect(notifier.received.map(({ data }) => data.jobType)).toEqual(['first', 'hostile', 'last']);
  });

  it('an observer that throws or rejects disturbs neither the run nor the other observers', async () => {
    const { bus, lines } = createTestBus();
    const seen: string[] = [];
    bus.on('stopping', () => {
      throw new Error('observer bug');
    });
    bus.on('stopping', async () => {
      throw new Error('async observer bug');
    });
    bus.on('stopping', () => void seen.push('second'));
    bus.once('stopped', () => void seen.push('stopped'));
    const report = await bus.requestShutdown();
    await settle();
    expect(seen).toEqual(['second', 'stopped']);
    expect(report.exitCode).toBe(0);
    expect(lines.join('\n')).toMatch(/an observer of "stopping" failed: observer bug/);
    expect(lines.join('\n')).toMatch(/async observer bug/);
  });

  it('an observer can be taken off again, and listeners() gives what was put on', () => {
    const { bus } = createTestBus();
    const observer = () => {};
    bus.on('stopping', observer);
    expect(bus.listeners('stopping')).toEqual([observer]);
    bus.off('stopping', observer);
    expect(bus.listenerCount('stopping')).toBe(0);
  });

  it('events come in the order of the run', async () => {
    const { bus, clock } = createTestBus({ interruptGraceMs: 0 });
    const seen: string[] = [];
    const note = (text: string) => void seen.push(text);
    bus.on('job-begun', ({ id }) => note(`job-begun ${id}`));
    bus.on('job-finished', ({ id }) => note(`job-finished ${id}`));
    bus.on('stopping', ({ openJobs }) => note(`stopping with ${openJobs}`));
    bus.on('phase-started', ({ phase }) => note(`${phase} started`));
    bus.on('phase-finished', ({ phase }) => note(`${phase} finished`));
    bus.on('handler-started', ({ name }) => note(`${name}: started`));
    bus.on('handler-finished', ({ name, outcome }) => note(`${name}: ${outcome}`));
    bus.on('job-interrupted', ({ job, stage }) => note(`job-interrupted ${job.id} ${stage}`));
    bus.on('delivery', ({ envelope, outcome }) => note(`delivery ${envelope.subject} ${outcome}`));
    bus.on('stopped', ({ exitCode }) => note(`stopped ${exitCode}`));
    bus.jobs.begin({ type: 'done' }).complete();
    bus.jobs.begin({ type: 'open' });
    const running = bus.requestShutdown();
    await pass(clock, 10_000, 500);
    await running;
    expect(seen).toEqual([
      'job-begun 1',
      'job-finished 1',
      'job-begun 2',
      'stopping with 1',
      'intake started',
      'intake finished',
      'drain started',
      'finish open jobs: started',
      'finish open jobs: done',
      'interrupt open jobs: started',
      'job-interrupted 2 abort',
      'interrupt open jobs: done',
      'drain finished',
      'deliver started',
      'report open jobs: started',
      'delivery 2 delivered',
      'report open jobs: done',
      'deliver finished',
      'release started',
      'release finished',
      'stopped 0',
    ]);
  });

  it('is running and ready, then stopping, then stopped', async () => {
    const { bus } = createTestBus();
    const seen: [string, boolean][] = [[bus.state, bus.ready]];
    bus.on('stopping', () => void seen.push([bus.state, bus.ready]));
    await bus.requestShutdown();
    seen.push([bus.state, bus.ready]);
    expect(seen).toEqual([
      ['running', true],
      ['stopping', false],
      ['stopped', false],
    ]);
  });

  it('one who asks for it while it begins joins it, whoever that is', async () => {
    const { bus, clock } = createTestBus({ interruptGraceMs: 0 });
    const story: string[] = [];
    const asked: Promise<ShutdownReport>[] = [];
    const ask = (who: string) => {
      story.push(who);
      if (asked.length < 10) asked.push(bus.requestShutdown(who));
    };
    bus.on('stopping', () => ask('observer'));
    bus.jobs.begin({ type: 'render' }).stopping.addEventListener('abort', () => ask('job'));
    bus.subscribeShutdown(() => ask('handler'), { name: 'asks', phase: 'intake' });
    const stopped = bus.requestShutdown('first');
    await pass(clock, 10_000, 500);
    const report = await stopped;
    expect(story).toEqual(['observer', 'job', 'handler']);
    expect(report.reason).toEqual({ kind: 'request', message: 'first' });
    for (const one of await Promise.all(asked)) expect(one).toBe(report);
  });

  it('an error after the report is no success either', async () => {
    const { bus, host } = createTestBus();
    const { exitCode } = await bus.requestShutdown();
    host.emit('uncaughtException', new Error('late'));
    expect([exitCode, await host.exited]).toEqual([0, 1]);
  });

  it('an exit by somebody else in the middle of it is said, with the handlers that it cuts off', async () => {
    const { bus, host, lines, clock } = createTestBus();
    bus.subscribeShutdown(() => {}, { name: 'quick', priority: 1 });
    bus.subscribeShutdown(never, { name: 'database' });
    host.kill('SIGTERM');
    await settle();
    host.exit(0);
    expect(lines.at(-1)).toMatch(/the process ends with 0 in the middle .*; unfinished: "database"$/);
    await pass(clock, 10_000, 500);
  });

  it('an exit with open jobs is said with the code that it has in the end', async () => {
    const { bus, host, lines, clock } = createTestBus();
    bus.jobs.begin({ type: 'render' });
    for (const priority of [1, 2])
      bus.subscribeShutdown(priority === 1 ? never : () => {}, { name: 'twin', priority });
    host.kill('SIGTERM');
    await settle();
    host.emit('exit', 0);
    const said = () => lines.filter((line) => line.includes('in the middle'));
    expect(said()[0]).toMatch(/ends with 1 in .*; unfinished: "twin", "twin"$/);
    // The job is reported, and the first of the two is through.
    await pass(clock, 8500, 500);
    host.emit('exit', 0);
    expect(said()[1]).toMatch(/ends with 0 in .*; unfinished: "twin"$/);
    await pass(clock, 10_000, 500);
  });

  it('its own exit is nothing to speak of', async () => {
    const { bus, host, lines } = createTestBus();
    await bus.requestShutdown();
    expect(await host.exited).toBe(0);
    expect(lines.filter((line) => line.includes('in the middle'))).toEqual([]);
  });

  it('a second SIGINT calls the exit function once, with 130', async () => {
    const codes: number[] = [];
    const { bus, host, clock } = createTestBus({ exit: (code) => void codes.push(code) });
    bus.subscribeShutdown(never, { name: 'hung' });
    host.kill('SIGINT');
    await settle();
    host.kill('SIGINT');
    await pass(clock, 10_000, 500);
    await bus.requestShutdown();
    await settle();
    expect(codes).toEqual([130]);
  });

  it('one that breaks off ends the process with 1, and tells of its jobs', async () => {
    const clock = createFakeClock();
    const { bus, host, lines } = createTestBus({ clock });
    bus.jobs.begin({ type: 'render', id: 'a' });
    const { wallTime } = clock;
    clock.wallTime = () => {
      clock.wallTime = wallTime;
      throw new Error('no time');
    };
    const report = await bus.requestShutdown();
    expect(report).toMatchObject({ exitCode: 1, jobs: { open: 1, expired: 1 } });
    expect(report.errors.map(({ message }) => message)).toEqual(['the shutdown broke off: no time']);
    expect(host.exitCode).toBe(1);
    expect(lines.join('\n')).toContain('"subject":"a"');
  });

  it('a handler whose error cannot be shown costs nobody the rest', async () => {
    const { bus, lines } = createTestBus();
    const strange = Object.assign(new Error(), { message: Symbol('strange') as unknown as string });
    let isReleased = false;
    bus.subscribeShutdown(() => Promise.reject(strange), { name: 'strange', phase: 'drain' });
    bus.subscribeShutdown(() => void (isReleased = true), { name: 'pool' });
    expect((await bus.requestShutdown()).exitCode).toBe(1);
    expect(isReleased).toBe(true);
    expect(lines.join('\n')).toContain(
      'handler "strange" failed after 0 ms: an error that cannot be shown as text',
    );
  });

  it('an observer that was to be called once is, and leaves; each is named by its own event', async () => {
    const { bus, lines } = createTestBus();
    let calls = 0;
    bus.once('job-begun', () => void (calls += 1));
    const fails = () => {
      throw new Error('failed');
    };
    bus.on('stopping', fails).on('job-begun', fails);
    for (let job = 0; job < 3; job += 1) bus.jobs.begin({ type: 'render' }).complete();
    expect([calls, bus.listenerCount('job-begun')]).toEqual([1, 1]);
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(line).toContain('an observer of "job-begun" failed: failed');
    bus.off('job-begun', fails);
    expect([bus.listenerCount('job-begun'), bus.listenerCount('stopping')]).toEqual([0, 1]);
  });

  it('remembers the first hundred errors of a service that runs for long', async () => {
    const { bus } = createTestBus();
    bus.on('job-begun', () => {
      throw new Error('failed');
    });
    for (let job = 0; job < 150; job += 1) bus.jobs.begin({ type: 'render' }).complete();
    expect((await bus.requestShutdown()).errors).toHaveLength(100);
  });

  it('dispose leaves an IPC channel as it was, however often it is called', async () => {
    const count = { listeners: 0 };
    const channel = {
      unrefCounted: () => void (count.listeners -= 1),
      refCounted: () => void (count.listeners += 1),
    };
    const { bus } = createTestBus({ exit: false, process: createFakeProcess({ channel }) });
    expect(count.listeners).toBe(-1);
    bus.on('stopped', () => bus.dispose());
    await bus.requestShutdown();
    bus.dispose();
    expect(count.listeners).toBe(0);
  });

  it('a budget that looks like seconds is told of, and a reserve that leaves others nothing', () => {
    const looks = (budgetMs: number, reserveMs: number) => {
      const { bus, lines } = createTestBus({ budgetMs });
      bus.subscribeShutdown(() => {}, { name: 'greedy', reserveMs });
      return lines.map((line) => line.replace(/^.*?: /, ''));
    };
    expect(looks(99, 0)).toEqual(['budgetMs is 99: these are milliseconds; were seconds meant?']);
    expect(looks(100, 59)).toEqual([]);
    expect(looks(100, 60)).toEqual([
      'handler "greedy" reserves 60 ms of budgetMs 100: the drain gets no time',
    ]);
  });

  it('dispose with open jobs says that nobody will report them', () => {
    const { bus, lines } = createTestBus();
    bus.jobs.begin({ type: 'render' });
    bus.dispose();
    expect(lines.join('\n')).toContain('this bus is disposed of with 1 jobs open: it will not report them');
  });

  it('A06: dispose takes every listener off; those of others were never touched', async () => {
    const { bus, host } = createTestBus();
    let earlier = 0;
    const events = [
      'SIGTERM',
      'SIGINT',
      'SIGHUP',
      'SIGQUIT',
      'uncaughtException',
      'unhandledRejection',
      'beforeExit',
      'exit',
    ];
    for (const event of events) host.on(event, () => void (earlier += 1));
    expect(events.map((event) => host.listenerCount(event))).toEqual(events.map(() => 2));
    bus.dispose();
    bus.dispose();
    expect(events.map((event) => host.listenerCount(event))).toEqual(events.map(() => 1));
    host.emit('SIGHUP', 'SIGHUP', 1);
    expect([earlier, bus.state]).toEqual([1, 'running']);
    expect(() => bus.subscribeShutdown(() => {}, { name: 'late' })).toThrow(/disposed/);
  });

  it('signals and fatal errors can be left to others', () => {
    const { host } = createTestBus({ signals: [], fatalErrors: false });
    expect(
      ['SIGTERM', 'SIGINT', 'uncaughtException', 'unhandledRejection'].map((event) =>
        host.listenerCount(event),
      ),
    ).toEqual([0, 0, 0, 0]);
  });

  it('a second bus in the same process does not end the first one early', async () => {
    const exits: string[] = [];
    const one = createTestBus({ exit: () => void exits.push('one') });
    const two = createTestBus({ exit: () => void exits.push('two') });
    one.bus.subscribeShutdown(() => new Promise<void>((resolve) => void one.clock.setTimeout(resolve, 500)), {
      name: 'slow',
    });
    const first = one.bus.requestShutdown();
    await settle();
    await two.bus.requestShutdown();
    await settle();
    expect(exits).toEqual([]);
    await pass(one.clock, 500);
    await first;
    await expect.poll(() => exits).toEqual(['two', 'one']);
  });

  it.each<[string, () => unknown, string]>([
    ['an anonymous handler', () => bus().subscribeShutdown(() => {}), 'HANDLER_UNNAMED'],
    ['no function', () => bus().subscribeShutdown('x' as never), 'INVALID_OPTION'],
    [
      'an unknown phase',
      () => bus().subscribeShutdown(() => {}, { name: 'x', phase: 'later' as never }),
      'INVALID_OPTION',
    ],
    [
      'an endless priority',
      () => bus().subscribeShutdown(() => {}, { name: 'x', priority: Infinity }),
      'INVALID_OPTION',
    ],
    [
      'both that differ',
      () => bus().subscribeShutdown(() => {}, { name: 'x', phase: 'drain', priority: 5 }),
      'INVALID_OPTION',
    ],
    [
      'a negative timeout',
      () => bus().subscribeShutdown(() => {}, { name: 'x', timeoutMs: -1 }),
      'INVALID_OPTION',
    ],
    [
      'a misspelt option',
      () => bus().subscribeShutdown(function f() {}, { time: 1 } as never),
      'INVALID_OPTION',
    ],
    ['a bad bus', () => createShutdownBus({ budgetMs: 0 }), 'INVALID_OPTION'],
  ])('a programmer’s mistake throws early: %s', (_what, mistake, code) => {
    let thrown: unknown;
    try {
      mistake();
    } catch (error) {
      thrown = error;
    }
    expect(isShutdownError(thrown, code as never)).toBe(true);
    expect((thrown as Error).message).toMatch(/allowed|needs|pass \{ name \}|not usable/);
  });
});

function bus(): ShutdownBus {
  return createTestBus().bus;
}
