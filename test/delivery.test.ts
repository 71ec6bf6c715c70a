import { describe, expect, it } from 'vitest';
import { backOffMs } from '../src/delivery/lane.js';
import { type Delivery, type DeliveryMode, deliverEnvelopes } from '../src/delivery.js';
import { type Envelope, EnvelopeWriter } from '../src/envelope.js';
import type { DeliverContext, Notifier, Receipt } from '../src/index.js';
import { safeJson } from '../src/safe-json.js';
import { createFakeClock } from '../src/testing/fake-clock.js';
import { never, pass } from './test-bus.js';

function envelopes(count: number, payload: unknown = {}): Envelope[] {
  const writer = new EnvelopeWriter({ service: 's', instanceId: '0123456789ab', serialise: safeJson });
  const facts = {
    outcome: 'interrupted',
    reason: 'SIGTERM',
    elapsedMs: 1,
    time: '2030-01-01T00:00:00Z',
  } as const;
  return Array.from({ length: count }, (_, index) =>
    writer.write(
      { id: String(index + 1), key: String(index + 1), type: 't', payload, startedAt: facts.time },
      facts,
    ),
  );
}

interface Call {
  readonly at: number;
  readonly ids: string[];
  readonly attempt: number;
  readonly batch: readonly Envelope[];
}

type Answer = (envelope: Envelope, context: DeliverContext) => Omit<Receipt, 'id'> | 'delivered';

/** Delivers on a fake clock and tells every call with its time. */
async function deliver(
  list: readonly Envelope[],
  notifiers: (Partial<Notifier> & { answer?: Answer })[],
  { ms = 2700, mode = 'all' as DeliveryMode } = {},
) {
  const clock = createFakeClock();
  const calls: Record<string, Call[]> = {};
  const outcomes: Delivery[] = [];
  const errors: string[] = [];
  const built = notifiers.map(({ answer = () => 'delivered' as const, ...rest }, index): Notifier => {
    const name = rest.name ?? `n${index}`;
    const log: Call[] = [];
    calls[name] = log;
    const answerAll: Notifier['deliver'] = async (batch, context) =>
      batch.map((envelope) => {
        const said = answer(envelope, context);
        return { id: envelope.id, ...(said === 'delivered' ? { status: said } : said) } as Receipt;
      });
    return {
      maxBatchSize: 10,
      ...rest,
      name,
      deliver: (batch, context) => {
        log.push({
          at: clock.now(),
          ids: batch.map(({ subject }) => subject),
          attempt: context.attempt,
          batch,
        });
        return (rest.deliver ?? answerAll)(batch, context);
      },
    };
  });
  let settledAt = -1;
  const running = deliverEnvelopes(list, {
    notifiers: built,
    mode,
    clock,
    random: () => 0,
    remainingMs: () => Math.max(0, ms - clock.now()),
    onOutcome: (delivery) => void outcomes.push(delivery),
    onError: (_name, error) => void errors.push(error.message),
  }).then((result) => {
    settledAt = clock.now();
    return result;
  });
  await pass(clock, ms + 200, 25);
  return { ...(await running), calls, told: outcomes, errors, settledAt };
}

const retryable = (message = 'busy', retryAfterMs?: number) =>
  ({ status: 'retryable', error: new Error(message), ...(retryAfterMs && { retryAfterMs }) }) as const;
const rejected = (message = 'no', divisible = false) =>
  ({ status: 'rejected', error: new Error(message), divisible }) as const;

describe('delivery', () => {
  it('zero, one and many envelopes: each goes out exactly once when nothing fails', async () => {
    for (const count of [0, 1, 10, 11, 101]) {
      const { calls, outcomes, told } = await deliver(envelopes(count), [{}]);
      const ids = (calls.n0 as Call[]).flatMap(({ ids }) => ids);
      expect(ids.sort((a, b) => Number(a) - Number(b))).toEqual(
        Array.from({ length: count }, (_, i) => String(i + 1)),
      );
      expect(outcomes).toEqual(Array(count).fill('delivered'));
      expect(told).toHaveLength(count);
    }
  });

  it('A12: everything ends inside the time it was given, also when the far end never answers', async () => {
    const { outcomes, settledAt } = await deliver(envelopes(3), [{ deliver: never }], { ms: 1000 });
    expect(outcomes).toEqual(['expired', 'expired', 'expired']);
    expect(settledAt).toBe(1000);
  });

  it('A23: one envelope a job, and the failure of one costs the others nothing', async () => {
    const { outcomes, calls } = await deliver(envelopes(5), [
      { maxBatchSize: 1, answer: ({ subject }) => (subject === '3' ? rejected() : 'delivered') },
    ]);
    expect(outcomes).toEqual(['delivered', 'delivered', 'rejected', 'delivered', 'delivered']);
    expect(calls.n0).toHaveLength(5);
  });

  it('A27: a retryable failure is tried again inside the time, with a growing pause', async () => {
    const { outcomes, calls } = await deliver(envelopes(1), [
      { answer: (_e, { attempt }) => (attempt < 4 ? retryable() : 'delivered') },
    ]);
    expect(outcomes).toEqual(['delivered']);
    expect(calls.n0?.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    expect(calls.n0?.map(({ at }) => at)).toEqual([0, 50, 150, 350]);
  });

  it('only what failed goes out again', async () => {
    const { calls } = await deliver(envelopes(4), [
      {
        answer: ({ subject }, { attempt }) => (subject === '2' && attempt === 1 ? retryable() : 'delivered'),
      },
    ]);
    expect(calls.n0?.map(({ ids }) => ids)).toEqual([['1', '2', '3', '4'], ['2']]);
  });

  it('Retry-After is honoured, and one that is longer than the time left ends it at once', async () => {
    const patient = await deliver(envelopes(1), [
      { answer: (_e, { attempt }) => (attempt === 1 ? retryable('busy', 800) : 'delivered') },
    ]);
    expect(patient.calls.n0?.map(({ at }) => at)).toEqual([0, 800]);
    const endless = await deliver(envelopes(1), [{ answer: () => retryable('busy', 60_000) }]);
    expect(endless.calls.n0).toHaveLength(1);
    expect(endless.outcomes).toEqual(['expired']);
    expect(endless.settledAt).toBe(0);
  });

  it("one batch's Retry-After does not hold up the others", async () => {
    const { outcomes } = await deliver(envelopes(30), [
      { answer: ({ subject }) => (Number(subject) <= 10 ? retryable('busy', 60_000) : 'delivered') },
    ]);
    expect(outcomes.filter((one) => one === 'delivered')).toHaveLength(20);
  });

  it('an attempt that hangs leaves time for another', async () => {
    const { outcomes, calls } = await deliver(
      envelopes(1),
      [
        {
          deliver: (batch, { attempt }) =>
            attempt === 1
              ? never()
              : Promise.resolve(batch.map(({ id }) => ({ id, status: 'delivered' as const }))),
        },
      ],
      { ms: 2000 },
    );
    expect(outcomes).toEqual(['delivered']);
    expect(calls.n0?.[1]?.at).toBeLessThan(1200);
  });

  it("a notifier's bug loses no job: throwing, answering nonsense and forgetting receipts are retryable", async () => {
    const bugs: Notifier['deliver'][] = [
      () => {
        throw new Error('bug');
      },
      () => Promise.reject(new Error('bug')),
      () => Promise.resolve(undefined as never),
      () => Promise.resolve([]),
      (batch) => Promise.resolve(batch.map(({ id }) => ({ id, status: 'perhaps' }) as never)),
    ];
    for (const bug of bugs) {
      const { outcomes } = await deliver(envelopes(2), [
        {
          deliver: (batch, context) =>
            context.attempt === 1
              ? bug(batch, context)
              : Promise.resolve(batch.map(({ id }) => ({ id, status: 'delivered' }))),
        },
      ]);
      expect(outcomes).toEqual(['delivered', 'delivered']);
    }
  });

  it('receipts in another order are matched by id', async () => {
    const { outcomes } = await deliver(envelopes(3), [
      {
        deliver: async (batch) =>
          batch
            .map(
              ({ id, subject }): Receipt =>
                subject === '2' ? { id, ...rejected() } : { id, status: 'delivered' },
            )
            .reverse(),
      },
    ]);
    expect(outcomes).toEqual(['delivered', 'rejected', 'delivered']);
  });

  it('a batch refused as a whole is halved until the bad envelope stands alone', async () => {
    const refuse = (batch: readonly Envelope[]) => batch.some(({ subject }) => subject === '7');
    const { outcomes } = await deliver(envelopes(10), [
      {
        deliver: async (batch) =>
          batch.map(({ id }) =>
            refuse(batch) ? { id, ...rejected('422', true) } : { id, status: 'delivered' as const },
          ),
      },
    ]);
    expect(outcomes.filter((one) => one === 'delivered')).toHaveLength(9);
    expect(outcomes[6]).toBe('rejected');
  });

  it('negative twin: a refusal that is not divisible costs the whole batch', async () => {
    const { outcomes } = await deliver(envelopes(10), [
      { deliver: async (batch) => batch.map(({ id }) => ({ id, ...rejected('410') })) },
    ]);
    expect(outcomes).toEqual(Array(10).fill('rejected'));
  });

  it('a far end that refuses everything is believed after a bounded number of halvings', async () => {
    const { calls, outcomes } = await deliver(envelopes(1000), [
      {
        maxBatchSize: 100,
        deliver: async (batch) => batch.map(({ id }) => ({ id, ...rejected('400', true) })),
      },
    ]);
    expect(outcomes).toEqual(Array(1000).fill('rejected'));
    expect(calls.n0?.length).toBeLessThan(200);
  });

  it('batches keep to maxBatchSize and maxBatchBytes', async () => {
    const { calls } = await deliver(envelopes(20, { text: 'x'.repeat(500) }), [
      { maxBatchSize: 7, maxBatchBytes: 3000 },
    ]);
    for (const { batch } of calls.n0 ?? []) {
      expect(batch.length).toBeLessThanOrEqual(7);
      expect(batch.reduce((sum, one) => sum + Buffer.byteLength(JSON.stringify(one)), 0)).toBeLessThanOrEqual(
        3000,
      );
    }
    expect(calls.n0?.flatMap(({ ids }) => ids)).toHaveLength(20);
  });

  it('an envelope over the limit goes out without its payload, the others whole', async () => {
    const list = [...envelopes(1, { big: 'x'.repeat(5000) }), ...envelopes(1, { small: true })];
    const { calls, outcomes } = await deliver(list, [{ maxBatchBytes: 2000 }]);
    const sent = calls.n0?.flatMap(({ batch }) => batch) ?? [];
    expect(sent[0]?.data).toMatchObject({ payload: null, truncated: true, payloadBytes: 5010 });
    expect(sent[1]?.data.payload).toEqual({ small: true });
    expect(outcomes).toEqual(['delivered', 'delivered']);
  });

  it('no more than maxConcurrency calls are under way at once', async () => {
    let underWay = 0;
    let most = 0;
    await deliver(envelopes(100), [
      {
        maxBatchSize: 1,
        maxConcurrency: 3,
        deliver: async (batch) => {
          underWay += 1;
          most = Math.max(most, underWay);
          await new Promise((resolve) => setImmediate(resolve));
          underWay -= 1;
          return batch.map(({ id }) => ({ id, status: 'delivered' as const }));
        },
      },
    ]);
    expect(most).toBe(3);
  });
});

describe('fan-out and fail-over', () => {
  it('all: every notifier gets every envelope, and the worst outcome counts', async () => {
    const { outcomes, told, notifiers } = await deliver(envelopes(2), [
      { name: 'good' },
      { name: 'bad', answer: ({ subject }) => (subject === '2' ? rejected() : 'delivered') },
    ]);
    expect(outcomes).toEqual(['delivered', 'rejected']);
    expect(told.find(({ outcome }) => outcome === 'rejected')?.notifiers()).toEqual({
      good: 'delivered',
      bad: 'rejected',
    });
    expect(notifiers.map(({ delivered }) => delivered)).toEqual([2, 1]);
  });

  it('all: one that hangs does not hold up the other', async () => {
    const { calls } = await deliver(envelopes(1), [{ name: 'hung', deliver: never }, { name: 'good' }]);
    expect(calls.good?.map(({ at }) => at)).toEqual([0]);
  });

  it('failover: the second gets only what the first did not take', async () => {
    const { outcomes, calls } = await deliver(
      envelopes(4),
      [
        { name: 'first', answer: ({ subject }) => (subject === '2' ? rejected() : 'delivered') },
        { name: 'second' },
      ],
      { mode: 'failover' },
    );
    expect(calls.second?.flatMap(({ ids }) => ids)).toEqual(['2']);
    expect(outcomes).toEqual(Array(4).fill('delivered'));
  });

  it('failover: a first notifier that hangs leaves the second its share of the time', async () => {
    const { outcomes, calls } = await deliver(
      envelopes(2),
      [{ name: 'first', deliver: never }, { name: 'second' }],
      {
        mode: 'failover',
        ms: 2000,
      },
    );
    expect(outcomes).toEqual(['delivered', 'delivered']);
    expect(calls.second?.[0]?.at).toBe(1000);
  });

  it('no notifier at all: every envelope is expired, and told', async () => {
    const { outcomes, told } = await deliver(envelopes(2), []);
    expect(outcomes).toEqual(['expired', 'expired']);
    expect(told).toHaveLength(2);
  });
});

describe('the pause between attempts', () => {
  it('doubles up to 2 s and is spread by half', () => {
    expect([1, 2, 3, 9].map((attempt) => backOffMs(attempt, 0))).toEqual([50, 100, 200, 1000]);
    expect([1, 2, 3, 9].map((attempt) => backOffMs(attempt, 1))).toEqual([100, 200, 400, 2000]);
  });
});
