import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, describe, expect, it } from 'vitest';
import { ParkedRequests } from '../../http/parked.js';
import { createFakeClock, type FakeClock } from '../../src/testing/fake-clock.js';
import { closeServices, gate, openService, until } from './service.js';

afterEach(closeServices);

const never = new AbortController().signal;

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Waits for calm; `busyUntil` is when clients stop connecting, on the clock. */
function waitForCalm(clock: FakeClock, parked: ParkedRequests, busyUntil: number, signal = never) {
  const wait = { over: false };
  const from = clock.now();
  const lastActivity = () => Math.min(clock.now(), from + busyUntil);
  void parked.untilCalm(clock, signal, lastActivity).then(() => {
    wait.over = true;
  });
  return wait;
}

describe('parked requests', () => {
  it('wait for two turns of the loop where nobody has connected or been answered for a while', async () => {
    const clock = createFakeClock();
    const parked = new ParkedRequests();
    await parked.untilCalm(clock, never, () => clock.now() - 25);
    expect([clock.now(), clock.pending, parked.open]).toEqual([0, 0, true]);
  });

  it('wait for those that a blocked loop had not seen', async () => {
    const clock = createFakeClock();
    const parked = new ParkedRequests();
    let lastActivity = -1000;
    const wait = { over: false };
    void parked
      .untilCalm(clock, never, () => lastActivity)
      .then(() => {
        wait.over = true;
      });
    await turns(1);
    lastActivity = clock.now();
    await turns(5);
    expect(wait.over).toBe(false);
    await clock.advance(25);
    await turns(5);
    expect(wait.over).toBe(true);
  });

  it('wait until nobody has connected for 25 ms', async () => {
    const clock = createFakeClock();
    const parked = new ParkedRequests();
    const wait = waitForCalm(clock, parked, 40);
    await clock.advance(64);
    await turns(5);
    expect([wait.over, parked.open]).toEqual([false, true]);
    await clock.advance(2);
    await turns(5);
    expect([wait.over, parked.open]).toEqual([true, true]);
  });

  it('do not wait longer than 150 ms for clients that never stop, nor beyond the end of the phase', async () => {
    const clock = createFakeClock();
    const cut = new AbortController();
    const waits = [
      waitForCalm(clock, new ParkedRequests(), 1000),
      waitForCalm(clock, new ParkedRequests(), 1000, cut.signal),
    ];
    await turns(5);
    cut.abort();
    await turns(5);
    expect(waits.map(({ over }) => over)).toEqual([false, true]);
    for (let step = 0; step < 8; step += 1) {
      await clock.advance(20);
      await turns(5);
    }
    expect(waits.map(({ over }) => over)).toEqual([true, true]);
  });

  it('are passed on in their order and in their own context, each whatever the others do', async () => {
    const clock = createFakeClock();
    const parked = new ParkedRequests();
    const context = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    waitForCalm(clock, parked, 1000);
    for (const name of ['first', 'second'])
      context.run(name, () => parked.park(() => seen.push(context.getStore())));
    await turns(1);
    expect(seen).toEqual([]);
    parked.release();
    await turns(1);
    expect(seen).toEqual(['first', 'second']);
    expect(parked.open).toBe(false);
  });
});

describe('a request on a busy server', () => {
  it('B06: that comes before the listener is closed reaches the application after it', async () => {
    const seen: boolean[] = [];
    const { bus, client, server, drained } = await openService((_request, response) => {
      seen.push(server.listening);
      response.end('served');
    });
    // An answer that was given just now: its client may be connecting again.
    await client().get('/').until('served');
    const stopped = bus.requestShutdown();
    const late = client().get('/');
    await late.closed;
    expect([late.error, late.body]).toEqual([undefined, 'served']);
    expect(seen).toEqual([true, false]);
    expect(drained.counts).toMatchObject({ requests: 1, answered: 1, endedBy: 'quiet' });
    await stopped;
  });

  it('whose client leaves while it is parked never reaches the application', async () => {
    let seen = 0;
    const { bus, client, drained } = await openService((_request, response) => {
      seen += 1;
      response.end('served');
    });
    await client().get('/').until('served');
    const stopped = bus.requestShutdown();
    const late = client().get('/');
    await until(() => drained.openRequests.length === 1);
    late.socket.destroy();
    await stopped;
    expect(seen).toBe(1);
    expect(drained.counts).toMatchObject({ left: 1 });
  });

  it('that is answered while it is parked, by SIGQUIT, never reaches the application', async () => {
    const answer = gate();
    let seen = 0;
    const { bus, client, drained, host } = await openService(
      (_request, response) => {
        seen += 1;
        response.end('served');
      },
      { drain: { answer: () => answer.opened.then(() => ({ status: 202 })) } },
    );
    await client().get('/').until('served');
    const stopped = bus.requestShutdown();
    const late = client().get('/');
    await until(() => drained.openRequests.length === 1);
    host.kill('SIGQUIT');
    // The drain's own end passes on what is parked.
    await turns(20);
    answer.open();
    await stopped;
    await late.closed;
    expect([seen, late.statuses]).toEqual([1, [202]]);
    expect(drained.counts).toMatchObject({ requests: 1, answered: 1 });
  });
});
