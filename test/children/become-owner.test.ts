import { afterEach, describe, expect, it, vi } from 'vitest';
import { becomeOwner, CHILD_DEFAULTS, OWNER_DEFAULTS, type Ownership } from '../../children/index.js';
import type { JobStore, StoreOwnership } from '../../src/index.js';
import { memoryStore } from '../../stores/memory.js';
import { createTestBus, pass, settle, type TestBus } from '../test-bus.js';

const NAME = 'scheduler';
const buses: TestBus[] = [];

/** A service; all of them are one place. */
function service(store: JobStore = memoryStore()): TestBus {
  const made = createTestBus({ store });
  buses.push(made);
  return made;
}

afterEach(async () => {
  for (const { bus } of buses.splice(0)) bus.dispose();
  await settle();
});

/** A store that answers as it is told. */
function answering(own: NonNullable<JobStore['own']>): JobStore {
  return { ...memoryStore(), name: 'answering', own };
}

function ownership(over = new AbortController()): StoreOwnership {
  return { signal: over.signal, release: async () => over.abort() };
}

/** What a call has come to so far. */
function follow(asked: Promise<Ownership | undefined>) {
  const followed = { settled: false, answer: undefined as Ownership | undefined };
  void asked.then((answer) => Object.assign(followed, { settled: true, answer }));
  return followed;
}

describe('D25: becomeOwner', () => {
  it('resolves at once when nobody is the owner', async () => {
    const { bus, lines } = service();
    const owned = await becomeOwner(NAME, { bus });
    expect(owned).toMatchObject({ name: NAME, signal: { aborted: false } });
    expect(lines.at(-1)).toMatch(/: this process owns "scheduler"$/);
  });

  it('waits for its turn, with a look each second', async () => {
    const [first, second] = [service(), service()];
    const owner = await becomeOwner(NAME, { bus: first.bus });
    const waiting = follow(becomeOwner(NAME, { bus: second.bus }));
    await pass(second.clock, 900);
    await owner?.release();
    await pass(second.clock, 99, 33);
    expect(waiting.settled).toBe(false);
    await pass(second.clock, 1, 1);
    expect(waiting.answer?.signal.aborted).toBe(false);
    expect(owner?.signal.aborted).toBe(true);
  });

  it('with wait: false says at once that another one is the owner, or this process already', async () => {
    const [first, second] = [service(), service()];
    await becomeOwner(NAME, { bus: first.bus });
    for (const { bus } of [first, second])
      expect(await becomeOwner(NAME, { bus, wait: false })).toBeUndefined();
    expect(await becomeOwner('another name', { bus: second.bus, wait: false })).toBeDefined();
  });

  it('ends its wait when the signal is aborted, and takes nothing that comes too late', async () => {
    const late = ownership();
    let give: (answer: StoreOwnership) => void = () => {};
    const asked = new Promise<StoreOwnership>((resolve) => {
      give = resolve;
    });
    const [{ bus }, other] = [service(answering(() => asked)), service()];
    await becomeOwner(NAME, { bus: other.bus });
    const over = new AbortController();
    const waits = [bus, service().bus].map((bus) => follow(becomeOwner(NAME, { bus, signal: over.signal })));
    await settle();
    over.abort();
    give(late);
    await settle();
    expect(waits).toEqual([
      { settled: true, answer: undefined },
      { settled: true, answer: undefined },
    ]);
    expect(late.signal.aborted).toBe(true);
    // Aborted before.
    expect(await becomeOwner('free', { bus, signal: over.signal })).toBeUndefined();
  });

  it('is given up by dispose', async () => {
    const { bus } = service();
    const owned = await becomeOwner(NAME, { bus });
    owned?.[Symbol.dispose]();
    expect(owned?.signal.aborted).toBe(true);
    expect(await becomeOwner(NAME, { bus })).toBeDefined();
  });

  it('logs a loss as an error, and gives the rest up after it', async () => {
    const over = new AbortController();
    const held = ownership(over);
    const release = vi.spyOn(held, 'release');
    const { bus, lines } = service(answering(async () => held));
    const owned = await becomeOwner(NAME, { bus });
    over.abort(
      Object.assign(new Error('no longer sure'), {
        [Symbol.for('shutdown-bus.error')]: true,
        code: 'OWNERSHIP_LOST',
      }),
    );
    expect(lines.at(-1)).toMatch(/: no longer sure$/);
    await owned?.release();
    expect(release).toHaveBeenCalledOnce();
  });
});

describe('D25: the name of a dead owner', () => {
  it('is waited for as long as its children have by default, and a second', () => {
    expect(OWNER_DEFAULTS).toEqual({ wait: true, graceMs: 4000 });
    expect(OWNER_DEFAULTS.graceMs).toBe(CHILD_DEFAULTS.timeoutMs + 1000);
  });

  /** A service that takes the name over from somebody who has been dead for so long. */
  function heir(deadMs: number | undefined) {
    const held = { ...ownership(), deadMs };
    return { held, ...service(answering(async () => held)) };
  }

  it.each([
    [0, 4000, {}],
    [1000, 3000, {}],
    [0, 700, { graceMs: 700 }],
  ])(
    'dead for %i ms: is this process’s after %i more, when its children have ended',
    async (deadMs, ms, options) => {
      const { bus, clock } = heir(deadMs);
      const waiting = follow(becomeOwner(NAME, { bus, ...options }));
      await pass(clock, ms - 1, ms - 1);
      expect(waiting.settled).toBe(false);
      await pass(clock, 1, 1);
      expect(waiting.answer).toBeDefined();
    },
  );

  it.each([
    [undefined, {}],
    [4000, {}],
    [9500, {}],
    [0, { graceMs: 0 }],
  ])('dead for %s ms, with %j: is this process’s at once', async (deadMs, options) => {
    const { bus } = heir(deadMs);
    expect(await becomeOwner(NAME, { bus, ...options })).toBeDefined();
  });

  it('is given up when the shutdown comes meanwhile', async () => {
    const { bus, held } = heir(0);
    const waiting = follow(becomeOwner(NAME, { bus }));
    await settle();
    void bus.requestShutdown();
    await settle();
    expect(waiting).toEqual({ settled: true, answer: undefined });
    expect(held.signal.aborted).toBe(true);
  });

  it('is asked for again when it is lost meanwhile', async () => {
    const over = new AbortController();
    const answers = [{ ...ownership(over), deadMs: 0 }, ownership()];
    const { bus, clock } = service(answering(async () => answers.shift()));
    const waiting = follow(becomeOwner(NAME, { bus }));
    await pass(clock, 500);
    over.abort();
    await settle();
    expect(waiting.settled).toBe(false);
    await pass(clock, 1000);
    expect(waiting.answer?.signal.aborted).toBe(false);
  });
});

describe('D25: the shutdown', () => {
  it.each(['SIGTERM', 'SIGQUIT'])('%s: gives a name up after all handlers', async (signal) => {
    const { bus, host, clock } = service();
    const owned = (await becomeOwner(NAME, { bus })) as Ownership;
    const seen: boolean[] = [];
    const look = () => void seen.push(owned.signal.aborted);
    for (const priority of [200, 0, -100])
      bus.subscribeShutdown(look, { name: 'look', priority, essential: true });
    host.emit(signal, signal);
    await pass(clock, 1000);
    const report = await bus.requestShutdown();
    expect(seen).toEqual([false, false, false]);
    expect(owned.signal.aborted).toBe(true);
    expect(report.handlers.at(-1)).toMatchObject({ name: 'give up scheduler', outcome: 'done' });
    expect(await becomeOwner(NAME, { bus: service().bus, wait: false })).toBeDefined();
  });

  it('ends the wait of whoever is not the owner yet', async () => {
    const [first, second] = [service(), service()];
    await becomeOwner(NAME, { bus: first.bus });
    const waiting = follow(becomeOwner(NAME, { bus: second.bus }));
    await settle();
    void second.bus.requestShutdown();
    await settle();
    expect(waiting).toEqual({ settled: true, answer: undefined });
    expect(await becomeOwner(NAME, { bus: second.bus })).toBeUndefined();
  });

  it('negative twin: what was released before is not given up again', async () => {
    const { bus, clock } = service();
    const owned = await becomeOwner(NAME, { bus });
    await owned?.release();
    const running = bus.requestShutdown();
    await pass(clock, 1000);
    const report = await running;
    expect(report.handlers.map(({ name }) => name)).not.toContain('give up scheduler');
  });
});

describe('D25: a store that fails', () => {
  it('is asked again after 5 s, and told of once', async () => {
    let tries = 0;
    const store = answering(async () => {
      tries += 1;
      if (tries < 3) throw new Error('no answer');
      return ownership();
    });
    const { bus, clock, lines } = service(store);
    const waiting = follow(becomeOwner(NAME, { bus }));
    await pass(clock, 9999, 1111);
    expect([tries, waiting.settled]).toEqual([2, false]);
    await pass(clock, 1, 1);
    expect(waiting.answer).toBeDefined();
    const told = lines.filter((line) => line.includes('no answer'));
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/who owns "scheduler" cannot be known now, to be tried again: no answer$/);
  });

  it('with wait: false its error is the caller’s', async () => {
    const { bus } = service(answering(() => Promise.reject(new Error('no answer'))));
    await expect(becomeOwner(NAME, { bus, wait: false })).rejects.toThrow('no answer');
  });
});

describe('D25: what cannot be', () => {
  it('a bus without a store that can decide: each process would be the owner', async () => {
    const { bus } = createTestBus();
    await expect(becomeOwner(NAME, { bus })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringMatching(
        /a store in common that decides, and this one has none; set SHUTDOWN_STORE=/,
      ),
    });
    const { own: _, ...plain } = memoryStore();
    await expect(becomeOwner(NAME, { bus: service(plain).bus })).rejects.toThrow(
      /its store memory makes nobody an owner/,
    );
  });

  it('wrong options are told all at once', async () => {
    const options = { wait: 'no', signal: {}, graceMs: -1, bus: 7, waits: true } as object;
    await expect(becomeOwner('', options)).rejects.toThrow(
      /the name is "".*"waits" is no option.*wait is "no".*signal is .*graceMs is -1.*bus is no bus/,
    );
  });

  it('a bus that was disposed, also while it waited', async () => {
    const [first, second] = [service(), service()];
    await becomeOwner(NAME, { bus: first.bus });
    const waiting = becomeOwner(NAME, { bus: second.bus });
    const refused = expect(waiting).rejects.toMatchObject({ code: 'BUS_DISPOSED' });
    await settle();
    second.bus.dispose();
    await pass(second.clock, 1000);
    await refused;
    await expect(becomeOwner('free', { bus: second.bus })).rejects.toMatchObject({ code: 'BUS_DISPOSED' });
  });
});
