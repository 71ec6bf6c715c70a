import { describe, expect, it } from 'vitest';
import type { Orphan } from '../../src/index.js';
import type { JobKeeper } from '../../src/jobs/keeper.js';
import { RecordBook } from '../../src/jobs/record.js';
import { Sealer } from '../../src/jobs/sealing.js';
import { OrphanWatch } from '../../src/safekeeping/orphans.js';
import { createFakeClock } from '../../src/testing/fake-clock.js';
import { type MemoryAnswer, memoryNotifier } from '../../src/testing/memory-notifier.js';
import { orphan, scriptedStore } from '../stores/scripted-store.js';
import { createTestBus, lineLogger, never, pass, settle } from '../test-bus.js';

interface Scene {
  readonly claims: Orphan[][];
  readonly answer?: (subject: string) => MemoryAnswer | Promise<MemoryAnswer>;
}

/** A bus that starts on a store with orphans in it. */
async function startWith({ claims, answer = () => 'delivered' }: Scene) {
  const store = scriptedStore();
  store.claims.push(...claims);
  const notifier = memoryNotifier({ answer: ({ subject }) => answer(subject) });
  const scene = createTestBus({ store, notifiers: [notifier] });
  // The watch is imported in the background.
  await expect.poll(() => store.calls.includes('claim')).toBe(true);
  await pass(scene.clock, 0);
  return { ...scene, store, notifier };
}

describe('orphaned jobs', () => {
  it('A01: are reported at the start, lost, in the name of the dead, with what is known of the death', async () => {
    const { store, notifier, lines } = await startWith({
      claims: [[orphan('a', { progress: '{"value":{"rows":5}}' })], [orphan('b')]],
    });
    expect(notifier.received.map((envelope) => JSON.parse(JSON.stringify(envelope)))[0]).toEqual({
      specversion: '1.0',
      id: '0123456789ab/a',
      source: '/orders/0123456789ab',
      type: 'shutdown-bus.job.incomplete',
      subject: 'a',
      time: '2030-01-01T00:00:00.000Z',
      datacontenttype: 'application/json',
      data: {
        jobType: 'render',
        payload: { page: 7 },
        progress: { rows: 5 },
        startedAt: '2029-12-31T23:59:00.000Z',
        elapsedMs: 60_000,
        outcome: 'lost',
        reason: 'lost',
        service: 'orders',
        instanceId: '0123456789ab',
        host: 'web-1',
        pid: 4711,
        detail:
          'process 4711 on web-1 ended without a word, last seen 2029-12-31T23:59:58.000Z with 498 MiB resident',
      },
    });
    expect(store.delivered).toEqual(['0123456789ab/a', '0123456789ab/b']);
    expect(lines.join('\n')).toContain('reported 2 jobs of processes that are gone');
  });

  it('of one that had said why it stopped keep that reason', async () => {
    const stopped = { service: 's', host: 'h', pid: 1, stopping: 'SIGTERM', stopped: 'SIGTERM' };
    const stopping = { service: 's', host: 'h', pid: 1, stopping: 'SIGTERM' };
    const { notifier } = await startWith({
      claims: [
        [
          orphan('a', { owner: JSON.stringify(stopped) }),
          orphan('b', { instanceId: 'aaaaaaaaaaaa', owner: JSON.stringify(stopping) }),
        ],
      ],
    });
    expect(
      notifier.received.map(({ data: { outcome, reason, detail } }) => [outcome, reason, detail]),
    ).toEqual([
      ['interrupted', 'SIGTERM', 'process 1 on h ended (SIGTERM) before anybody had taken the report'],
      ['lost', 'lost', 'process 1 on h ended during its shutdown (SIGTERM)'],
    ]);
  });

  it.each(['', 'no json', 'null', '{"service":1,"pid":"x"}'])(
    'of an owner that said nothing that can be read (%j) are reported all the same',
    async (owner) => {
      const { notifier } = await startWith({ claims: [[orphan('a', { owner })]] });
      expect(notifier.received[0]?.data).toMatchObject({
        service: 'unknown-service',
        host: 'unknown',
        pid: 0,
      });
    },
  );

  it('are looked for again after every heartbeat', async () => {
    const { store, notifier, clock } = await startWith({ claims: [] });
    store.claims.push([orphan('a')]);
    await pass(clock, 999, 333);
    expect(notifier.received).toEqual([]);
    await pass(clock, 1);
    expect(notifier.received).toHaveLength(1);
  });

  it('nobody takes them: they are given back untried, and tried again after a pause that grows', async () => {
    const { store, notifier, clock, lines } = await startWith({
      claims: [[orphan('a')]],
      answer: () => 'retryable',
    });
    await pass(clock, 31_000, 1000);
    expect(store.given).toEqual([{ ids: ['0123456789ab/a'], tried: false }]);
    expect(store.delivered).toEqual([]);
    expect(lines.join('\n')).toContain(
      'reported 0 jobs of processes that are gone, 1 not taken, to be tried again',
    );
    const claimsBefore = store.calls.filter((call) => call === 'claim').length;
    await pass(clock, 5000, 1000);
    expect(store.calls.filter((call) => call === 'claim').length).toBeGreaterThan(claimsBefore);
    expect(notifier.received).toEqual([]);
  });

  it('a last look does not wait for the end of such a pause, one like any other does', async () => {
    const store = scriptedStore();
    store.claims.push([orphan('a')]);
    const clock = createFakeClock();
    const answers = ['expired', 'delivered'] as const;
    let tries = 0;
    const watch = new OrphanWatch({
      keeper: { store, try: (work: () => unknown) => work() } as unknown as JobKeeper,
      records: new RecordBook('aaaaaaaaaaaa', JSON.stringify, undefined),
      clock,
      log: lineLogger(),
      ready: async () => {},
      deliver: async (envelopes) => envelopes.map(() => answers[tries++] as 'expired' | 'delivered'),
    });
    watch.start();
    await settle();
    expect(tries).toBe(1);
    store.claims.push([orphan('a')]);
    await watch.look();
    expect(tries).toBe(1);
    await watch.look({ isLast: true });
    expect(tries).toBe(2);
    await watch.close();
  });

  it('rejected ones stay claimed, untried, and hold up nobody else', async () => {
    const { store, notifier } = await startWith({
      claims: [[orphan('bad'), orphan('good')], [orphan('later')]],
      answer: (subject) => (subject === 'bad' ? 'rejected' : 'delivered'),
    });
    expect(notifier.received.map(({ subject }) => subject)).toEqual(['good', 'later']);
    expect(store.given).toEqual([{ ids: ['0123456789ab/bad'], tried: false, keep: true }]);
    expect(store.delivered).not.toContain('0123456789ab/bad');
  });

  it('portions that are rejected as a whole cause no pause: somebody answers', async () => {
    const { notifier } = await startWith({
      claims: [[orphan('bad')], [orphan('worse')], [orphan('good')]],
      answer: (subject) => (subject === 'good' ? 'delivered' : 'rejected'),
    });
    expect(notifier.received.map(({ subject }) => subject)).toEqual(['good']);
  });

  it('a setAside that fails costs the others of its portion nothing', async () => {
    const store = scriptedStore();
    store.claims.push([orphan('torn', { record: '{' }), orphan('good')]);
    store.setAside = () => Promise.reject(new Error('no space left on device'));
    const { notifier, bus, lines } = createTestBus({ store });
    await expect.poll(() => notifier.received.map(({ subject }) => subject)).toEqual(['good']);
    expect(bus.degraded).toBe(true);
    expect(lines.join('\n')).toContain('no space left on device');
  });

  it('one that cannot be set aside and comes again and again is told once, and asked for once a heartbeat', async () => {
    const store = scriptedStore();
    const claimOrphans = async () => {
      store.calls.push('claim');
      return [orphan('torn', { record: '{' })];
    };
    store.claimOrphans = claimOrphans;
    store.setAside = async () => {};
    const { clock, lines } = createTestBus({ store });
    const claims = () => store.calls.filter((call) => call === 'claim').length;
    await expect.poll(claims).toBe(2);
    await pass(clock, 5000, 500);
    expect(claims()).toBe(7);
    expect(lines.filter((line) => line.includes('0123456789ab/torn is set aside'))).toHaveLength(1);
  });

  it('a delivery that breaks down gives them back, and is tried again', async () => {
    const store = scriptedStore();
    store.claims.push([orphan('a')]);
    let deliveries = 0;
    const keeper = {
      store,
      degraded: undefined,
      beat: async () => {},
      try: (work: () => Promise<void>) => work(),
      unmarked: () => {},
    } as unknown as JobKeeper;
    const log = lineLogger();
    const watch = new OrphanWatch({
      keeper,
      records: new RecordBook('aaaaaaaaaaaa', JSON.stringify, undefined),
      clock: createFakeClock(),
      log,
      ready: async () => {},
      deliver: async () => {
        deliveries += 1;
        throw new Error('a bug of ours');
      },
    });
    watch.start();
    await settle();
    expect(deliveries).toBe(1);
    expect(store.given).toEqual([{ ids: ['0123456789ab/a'], tried: false }]);
    expect(log.lines.join('\n')).toContain('could not be reported, to be tried again: a bug of ours');
    await watch.close();
  });

  it('a store that cannot be asked says so once, not at each heartbeat, and again when it says something else', async () => {
    const store = scriptedStore();
    let message = 'connection reset';
    store.claimOrphans = () => Promise.reject(new Error(message));
    const { clock, lines } = createTestBus({ store });
    const told = () => lines.filter((line) => line.includes('cannot be looked for')).length;
    await expect.poll(told).toBe(1);
    await pass(clock, 5000, 500);
    expect(told()).toBe(1);
    message = 'no permission';
    await pass(clock, 2000, 500);
    expect(told()).toBe(2);
  });

  it('are claimed when they can be delivered, not before: whoever dies while an SDK is loaded has tried nothing', async () => {
    const store = scriptedStore();
    store.claims.push([orphan('a')]);
    const keeper = { store, degraded: undefined, beat: async () => {} } as unknown as JobKeeper;
    let load = () => {};
    const loaded = new Promise<void>((resolve) => (load = resolve));
    const delivered: string[] = [];
    const watch = new OrphanWatch({
      keeper,
      records: new RecordBook('aaaaaaaaaaaa', JSON.stringify, undefined),
      clock: createFakeClock(),
      log: lineLogger(),
      ready: () => loaded,
      deliver: async (envelopes) => {
        delivered.push(...envelopes.map(({ id }) => id));
        return envelopes.map(() => 'delivered');
      },
    });
    watch.start();
    await settle();
    expect(store.calls).toEqual([]);
    load();
    await settle();
    expect(delivered).toEqual(['0123456789ab/a']);
    await watch.close();
  });

  it('what two others died with is asked for when this process has lived for a while, not in its first five seconds', async () => {
    const store = scriptedStore();
    const asked: unknown[] = [];
    store.claimOrphans = async (options) => {
      asked.push(options?.mostTries);
      return [];
    };
    const { clock } = createTestBus({ store });
    await expect.poll(() => asked).toEqual([2]);
    await pass(clock, 4999, 4999);
    expect(asked.every((most) => most === 2)).toBe(true);
    await pass(clock, 1001, 1001);
    expect(asked.at(-1)).toBe(undefined);
  });

  it('one that killed its reporter three times is set aside, loudly, and the others are reported', async () => {
    const { store, notifier, lines } = await startWith({
      claims: [[orphan('poison', { tries: 4 })], [orphan('third', { tries: 3 })]],
    });
    expect(store.aside).toEqual(['0123456789ab/poison']);
    expect(notifier.received.map(({ subject }) => subject)).toEqual(['third']);
    expect(lines.join('\n')).toMatch(
      /0123456789ab\/poison is set aside .*whoever reported it died of it, 3 times/,
    );
  });

  it.each([
    ['torn', '{"v":1,"id":"a","ty'],
    ['foreign', '{"hello":"world"}'],
    ['without a date', '{"v":1,"id":"a","type":"x","startedAt":"\\",\\"evil\\":\\"","value":1}'],
    ['of no day there is', '{"v":1,"id":"a","type":"x","startedAt":"2026-99-99T00:00:00Z","value":1}'],
    ['null', 'null'],
  ])('a record that is %s is set aside with an error and holds up nobody else', async (_what, record) => {
    const { store, notifier, lines } = await startWith({ claims: [[orphan('a', { record }), orphan('b')]] });
    expect(store.aside).toEqual(['0123456789ab/a']);
    expect(notifier.received.map(({ subject }) => subject)).toEqual(['b']);
    expect(lines.join('\n')).toMatch(
      /orphaned job 0123456789ab\/a is set aside in the store and not reported/,
    );
  });

  it('a payload sealed with a key that is not there is withheld: the job is reported, its record kept aside', async () => {
    const sealer = new Sealer([{ id: 'other', secret: Buffer.alloc(32, 1) }]);
    const record = JSON.stringify({
      v: 1,
      id: 'a',
      type: 'pay',
      startedAt: '2029-12-31T23:59:00.000Z',
      sealed: sealer.seal('{"card":"4111"}', '0123456789ab/a'),
    });
    const { store, notifier, lines } = await startWith({ claims: [[orphan('a', { record })]] });
    expect(lines.join('\n')).toContain('1 orphaned jobs are reported without what cannot be read');
    expect(notifier.received[0]?.data).toMatchObject({ jobType: 'pay', payload: null });
    expect(notifier.received[0]?.data.detail).toMatch(
      /sealed with key "other", which this process does not have/,
    );
    expect([store.aside, store.delivered]).toEqual([['0123456789ab/a'], []]);
  });

  it('a checkpoint that is torn costs the payload nothing, and the record is kept aside', async () => {
    const { store, notifier } = await startWith({ claims: [[orphan('a', { progress: '{"value":' })]] });
    expect(notifier.received[0]?.data).toMatchObject({ payload: { page: 7 }, progress: null });
    expect(notifier.received[0]?.data.detail).toMatch(/without a word, .*; /);
    expect([store.aside, store.delivered]).toEqual([['0123456789ab/a'], []]);
  });

  it('a shutdown in the middle gives back what was not taken yet', async () => {
    const { bus, store, clock, host } = await startWith({ claims: [[orphan('a')]], answer: never });
    host.kill('SIGTERM');
    await pass(clock, 1000, 100);
    expect(store.given).toEqual([{ ids: ['0123456789ab/a'], tried: false }]);
    expect(bus.state).toBe('stopped');
    expect(store.calls.at(-1)).toBe('close');
  });

  it('a store that cannot be asked is no reason not to serve', async () => {
    const store = scriptedStore();
    store.claimOrphans = () => Promise.reject(new Error('connection reset'));
    const { lines, bus } = createTestBus({ store });
    await expect
      .poll(() => lines.join('\n'))
      .toContain('orphaned jobs cannot be looked for: connection reset');
    expect(bus.ready).toBe(true);
  });

  it('each is told to observers as a delivery', async () => {
    const store = scriptedStore();
    store.claims.push([orphan('a')]);
    const { bus } = createTestBus({ store });
    const seen: unknown[] = [];
    bus.on('delivery', ({ envelope, outcome }) => void seen.push([envelope.subject, outcome]));
    await expect.poll(() => seen).toEqual([['a', 'delivered']]);
  });
});
