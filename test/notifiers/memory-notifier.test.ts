import { describe, expect, it } from 'vitest';
import { type MemoryAnswer, memoryNotifier } from '../../src/testing/memory-notifier.js';
import { sampleEnvelope } from '../../src/testing/sample-envelopes.js';

const [first, second] = [sampleEnvelope(), sampleEnvelope()];
const context = (attempt = 1, signal = new AbortController().signal) => ({ attempt, signal });

describe('memoryNotifier', () => {
  it('keeps what it was given, in order, until it is cleared', async () => {
    const notifier = memoryNotifier();
    expect(await notifier.deliver([first, second], context())).toEqual([
      { id: first.id, status: 'delivered' },
      { id: second.id, status: 'delivered' },
    ]);
    expect(notifier.received).toEqual([first, second]);
    notifier.clear();
    expect(notifier.received).toEqual([]);
  });

  it('has the name it is given', () => {
    expect([memoryNotifier().name, memoryNotifier({ name: 'pager' }).name]).toEqual(['memory', 'pager']);
  });

  it('keeps only what it answered with delivered', async () => {
    const answer = ({ id }: { id: string }) => (id === first.id ? 'rejected' : 'delivered');
    const notifier = memoryNotifier({ answer });
    const receipts = await notifier.deliver([first, second], context());
    expect(receipts[0]).toEqual({ id: first.id, status: 'rejected', error: new Error('answered rejected') });
    expect(notifier.received).toEqual([second]);
  });

  it('tells the attempt, so that the third try can be the lucky one', async () => {
    const notifier = memoryNotifier({
      answer: (_envelope, attempt) => (attempt < 3 ? 'retryable' : 'delivered'),
    });
    const statuses: string[] = [];
    for (const attempt of [1, 2, 3]) {
      for (const { status } of await notifier.deliver([first], context(attempt))) statuses.push(status);
    }
    expect(statuses).toEqual(['retryable', 'retryable', 'delivered']);
  });

  it.each<Exclude<MemoryAnswer, string>>([
    { status: 'delivered' },
    { status: 'retryable', error: new Error('busy'), retryAfterMs: 50 },
    { status: 'rejected', error: new Error('too large'), divisible: true },
  ])('hands a whole receipt on: $status', async (answer) => {
    const notifier = memoryNotifier({ answer: async () => answer });
    expect(await notifier.deliver([first], context())).toEqual([{ id: first.id, ...answer }]);
  });

  it('answers retryable when the answer throws', async () => {
    const busy = new Error('busy');
    const notifier = memoryNotifier({
      answer: () => {
        throw busy;
      },
    });
    expect(await notifier.deliver([first], context())).toEqual([
      { id: first.id, status: 'retryable', error: busy },
    ]);
  });

  it('gives a pending answer up when the signal aborts', async () => {
    const abort = new AbortController();
    const notifier = memoryNotifier({ answer: () => new Promise(() => {}) });
    const call = notifier.deliver([first], context(1, abort.signal));
    abort.abort();
    expect(await call).toMatchObject([{ id: first.id, status: 'retryable' }]);
    expect(notifier.received).toEqual([]);
  });

  it('does not ask for an answer when the signal has aborted before', async () => {
    let asked = 0;
    const notifier = memoryNotifier({
      answer: () => {
        asked += 1;
        return 'delivered';
      },
    });
    expect(await notifier.deliver([first], context(1, AbortSignal.abort()))).toMatchObject([
      { status: 'retryable' },
    ]);
    expect(asked).toBe(0);
  });
});
