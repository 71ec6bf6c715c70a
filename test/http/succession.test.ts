import { afterEach, describe, expect, it } from 'vitest';
import type { HandlerReport } from '../../src/index.js';
import { succeed } from '../../src/succession.js';
import { closeServices, gate, openService, until } from './service.js';

afterEach(() => {
  closeServices();
  delete (globalThis as { [key: symbol]: unknown })[Symbol.for('shutdown-bus.succeeded')];
});

/** What a probe is told on a connection of before, while a request keeps the process, and how long the first step took. */
async function stop() {
  const held = gate();
  const { bus, drained, client } = await openService(
    async (request, response) => response.end(request.url === '/held' ? await held.opened : 'ok'),
    { drain: { readinessPath: '/ready', readinessDelayMs: 300 } },
  );
  client().get('/held');
  const prober = client();
  await prober.connected;
  await until(() => drained.openRequests.length === 1 && drained.connections === 2);
  const report = bus.requestShutdown();
  prober.get('/ready');
  await prober.closed;
  held.open();
  const { handlers } = await report;
  const intake = handlers.find(({ name }) => name.startsWith('stop intake')) as HandlerReport;
  return { statuses: prober.statuses, waited: intake.durationMs >= 300 };
}

describe('a process in whose place others serve', () => {
  it('does not say that the service is not ready, nor wait until everybody knows', async () => {
    succeed();
    expect(await stop()).toEqual({ statuses: [200], waited: false });
  });

  it('and one that ends with the service does both', async () => {
    expect(await stop()).toEqual({ statuses: [503], waited: true });
  });
});
