import { afterAll, beforeAll, describe, it } from 'vitest';
import { pubsubNotifier } from '../../notifiers/pubsub.js';
import type { Envelope } from '../../src/envelope.js';
import { type NotifierHarness, notifierConformance } from '../../src/testing/notifier-conformance.js';
import { startPubsub } from '../far-ends/pubsub-emulator.js';
import { type PubsubFake, startPubsubFake } from '../far-ends/pubsub-fake.js';
import { openInbox, type PubsubInbox, type PubsubServer, pubsubAt } from '../far-ends/pubsub-inbox.js';

const servers = { 'the emulator': startPubsub, 'the fake': () => startPubsubFake() };

for (const [title, start] of Object.entries(servers)) {
  describe(`pubsub against ${title}`, () => {
    let server: PubsubServer;
    let inbox: PubsubInbox;
    let failing: PubsubFake;
    let hanging: PubsubFake;

    beforeAll(async () => {
      server = await start();
      inbox = await openInbox(server);
      failing = await startPubsubFake(() => ({ code: 14, details: 'down for maintenance' }));
      hanging = await startPubsubFake(() => 'hang');
    }, 60_000);

    afterAll(async () => {
      await inbox.close();
      await Promise.all([server.stop(), failing.stop(), hanging.stop()]);
    });

    const notifierAt = async ({ host }: PubsubServer) =>
      pubsubNotifier({ topic: inbox.topic, client: pubsubAt(host) });

    const harness: NotifierHarness = {
      healthy: () => notifierAt(server),
      failing: () => notifierAt(failing),
      hanging: () => notifierAt(hanging),
      failedCalls: () => failing.calls.length,
      received: async (count) => (await inbox.take(count)).map(({ data }) => JSON.parse(data) as Envelope),
    };

    for (const { id, title, run } of notifierConformance(harness)) it(`${id}: ${title}`, run);
  });
}
