import { once } from 'node:events';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import type { Envelope } from '../../src/envelope.js';
import type { Notifier, Receipt } from '../../src/notifier.js';
import { type NotifierHarness, notifierConformance, notifierSaboteurs } from '../../src/testing/index.js';

const intervals: NodeJS.Timeout[] = [];
afterAll(() => intervals.forEach(clearInterval));

describe('the notifier suite', () => {
  const ids = notifierConformance(plainHarness(10)).map(({ id }) => id);

  it('has a saboteur for every case, and a case for every saboteur', () => {
    expect(Object.keys(notifierSaboteurs)).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('leaves out what a harness cannot tell', () => {
    const { failedCalls: _calls, secrets: _secrets, ...blind } = plainHarness(10);
    const left = notifierConformance(blind).map(({ id }) => id);
    expect(ids.filter((id) => !left.includes(id))).toEqual(['N08', 'N16']);
  });

  describe.each([1, 10])('with batches of %i', (maxBatchSize) => {
    it('lets an honest notifier pass', async () => {
      expect(await casesFailedBy(plainHarness(maxBatchSize))).toEqual([]);
    });

    it.concurrent.each(ids)('%s alone catches its saboteur', async (id) => {
      const harness = plainHarness(maxBatchSize);
      const sabotage = (make: () => Promise<Notifier>) => async () =>
        notifierSaboteurs[id]?.(await make(), harness.secrets ?? []) as Notifier;
      const sabotaged = {
        ...harness,
        healthy: sabotage(harness.healthy),
        failing: sabotage(harness.failing),
        hanging: sabotage(harness.hanging),
      };
      expect(await casesFailedBy(sabotaged)).toEqual([id]);
    });
  });

  it.each<[string, string[], (receipts: readonly Receipt[]) => unknown]>([
    [
      'no receipts at all',
      ['N01', 'N02', 'N03', 'N04', 'N05', 'N06', 'N07', 'N09', 'N10', 'N13', 'N14'],
      () => undefined,
    ],
    [
      'one receipt too few',
      ['N01', 'N02', 'N03', 'N05', 'N06', 'N07', 'N09', 'N10', 'N13', 'N14'],
      (all) => all.slice(1),
    ],
    ['receipts in another order', ['N03'], (all) => all.toReversed()],
    [
      'texts instead of errors',
      ['N07', 'N09', 'N10'],
      (all) => all.map((one) => ({ ...one, error: 'failed' })),
    ],
    [
      'delivered whatever happens',
      ['N07', 'N09', 'N10'],
      (all) => all.map(({ id }) => ({ id, status: 'delivered' })),
    ],
  ])('catches a notifier that returns %s', async (_what, caughtBy, change) => {
    const harness = plainHarness(10);
    const changed = (make: () => Promise<Notifier>) => async (): Promise<Notifier> => {
      const inner = await make();
      const deliver: Notifier['deliver'] = async (batch, context) =>
        change(await inner.deliver(batch, context)) as readonly Receipt[];
      return { ...inner, deliver };
    };
    const { healthy, failing, hanging } = harness;
    const wrong = {
      ...harness,
      healthy: changed(healthy),
      failing: changed(failing),
      hanging: changed(hanging),
    };
    expect(await casesFailedBy(wrong)).toEqual(caughtBy);
  });

  it.each<[string, string[], () => Promise<unknown> | undefined]>([
    ['left running', ['N12'], async () => void setTimeout(() => {}, 500)],
    ['left repeating', ['N12'], async () => void intervals.push(setInterval(() => {}, 500))],
    ['cleared', [], async () => clearTimeout(setTimeout(() => {}, 500))],
    ['cleared while it repeats', [], async () => clearInterval(setInterval(() => {}, 500))],
    ['waited for', [], () => sleep(1)],
    ['unref’d', [], async () => void setTimeout(() => {}, 500).unref()],
  ])('tells a timer that is %s', async (_what, caughtBy, timer) => {
    const harness = plainHarness(10);
    const timed = (make: () => Promise<Notifier>) => async (): Promise<Notifier> => {
      const inner = await make();
      return {
        ...inner,
        async deliver(batch, context) {
          const receipts = await inner.deliver(batch, context);
          await timer();
          return receipts;
        },
      };
    };
    const { healthy, failing } = harness;
    expect(await casesFailedBy({ ...harness, healthy: timed(healthy), failing: timed(failing) })).toEqual(
      caughtBy,
    );
  });
});

async function casesFailedBy(harness: NotifierHarness): Promise<string[]> {
  const failed: string[] = [];
  for (const { id, run } of notifierConformance(harness)) {
    await run().catch((error: Error) => {
      expect(error.message).not.toBe('');
      failed.push(id);
    });
  }
  return failed;
}

/** The smallest notifier that keeps the contract, to sabotage. */
function plainHarness(maxBatchSize: number): NotifierHarness & Required<Pick<NotifierHarness, 'secrets'>> {
  let arrived: Envelope[] = [];
  let calls = 0;
  const notifier = (answer: (envelope: Envelope, signal: AbortSignal) => Promise<Receipt>): Notifier => ({
    name: 'plain',
    maxBatchSize,
    deliver: (batch, { signal }) => {
      const error = new Error('aborted');
      if (signal.aborted) return Promise.resolve(batch.map(({ id }) => ({ id, status: 'retryable', error })));
      return Promise.all(batch.map((envelope) => answer(envelope, signal)));
    },
  });
  return {
    secrets: ['hunter2'],
    failedCalls: () => calls,
    healthy: async () =>
      notifier(async (envelope) => {
        await nextTurn();
        arrived.push(JSON.parse(JSON.stringify(envelope)));
        return { id: envelope.id, status: 'delivered' };
      }),
    failing: async () =>
      notifier(async ({ id }) => {
        calls += 1;
        return { id, status: 'retryable', error: new Error('no') };
      }),
    hanging: async () =>
      notifier(async ({ id }, signal) => {
        await once(signal, 'abort');
        return { id, status: 'retryable', error: new Error('aborted') };
      }),
    received: async () => {
      const taken = arrived;
      arrived = [];
      return taken;
    },
  };
}
