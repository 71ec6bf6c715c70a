import { SNSClient } from '@aws-sdk/client-sns';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { snsNotifier } from '../../notifiers/sns.js';
import type { Envelope } from '../../src/envelope.js';
import { type NotifierHarness, notifierConformance } from '../../src/testing/notifier-conformance.js';
import { type SnsQueue, type SnsServer, startSns, TEST_CREDENTIALS } from '../far-ends/sns-fauxqs.js';
import { type ScriptedSns, snsError, startScriptedSns } from '../far-ends/sns-scripted.js';

for (const fifo of [false, true]) {
  describe(`sns against fauxqs, ${fifo ? 'a FIFO' : 'a standard'} topic`, () => {
    let server: SnsServer;
    let queue: SnsQueue;
    let failing: ScriptedSns;
    let hanging: ScriptedSns;

    beforeAll(async () => {
      server = await startSns();
      queue = await server.openQueue({ fifo });
      failing = await startScriptedSns(() => snsError(500, 'InternalError'));
      hanging = await startScriptedSns(() => undefined);
    }, 30_000);

    afterAll(() => Promise.all([server.stop(), failing.stop(), hanging.stop()]));

    const notifierAt = async ({ endpoint }: { readonly endpoint: string }) => {
      const client = new SNSClient({ endpoint, region: 'eu-central-1', credentials: TEST_CREDENTIALS });
      return snsNotifier({ topicArn: queue.topicArn, client });
    };

    const harness: NotifierHarness = {
      healthy: () => notifierAt(server),
      failing: () => notifierAt(failing),
      hanging: () => notifierAt(hanging),
      failedCalls: () => failing.requests.length,
      received: async (count) =>
        (await queue.take(count)).map(({ Body = '' }) => JSON.parse(Body) as Envelope),
      secrets: [TEST_CREDENTIALS.secretAccessKey, TEST_CREDENTIALS.accessKeyId],
    };

    for (const { id, title, run } of notifierConformance(harness)) it(`${id}: ${title}`, run);
  });
}
