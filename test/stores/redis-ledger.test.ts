import { describe, expect, it } from 'vitest';
import { fieldOf, keyOf } from '../../stores/redis/keys.js';
import { acknowledge, isEmpty, Ledger } from '../../stores/redis/ledger.js';
import { Pulse } from '../../stores/redis/pulse.js';

const job = (key: string, progress?: string) => ({ key, record: `record of ${key}`, progress });

/** A ledger whose copy in Redis has these jobs. */
function together(...keys: readonly string[]): Ledger {
  const ledger = new Ledger();
  ledger.startCopy();
  ledger.takeCopy(keys.map((key) => job(key)).values());
  ledger.endCopy();
  return ledger;
}

/** Whether a promise has resolved by now. */
async function isDone(promise: Promise<void>): Promise<boolean> {
  return Promise.race([promise.then(() => true), Promise.resolve().then(() => false)]);
}

describe('the ledger of what Redis must be told', () => {
  it('a job that is begun and completed between two batches is not told at all', () => {
    const ledger = together();
    void ledger.put(job('a'));
    ledger.checkpoint('a', 'half');
    ledger.delete('a');
    expect(ledger.isDirty).toBe(false);
    expect(isEmpty(ledger.take())).toBe(true);
  });

  it('zero, one, many: each is told once, and its put resolves when Redis has it', async () => {
    for (const count of [0, 1, 3]) {
      const ledger = together();
      const puts = Array.from({ length: count }, (_, index) => ledger.put(job(String(index))));
      const batch = ledger.take();
      expect(batch.records).toHaveLength(2 * count);
      expect(await Promise.all(puts.map(isDone))).toEqual(puts.map(() => false));
      acknowledge(batch);
      await Promise.all(puts);
      expect(ledger.size).toBe(count);
      expect(isEmpty(ledger.take())).toBe(true);
    }
  });

  it('a checkpoint replaces the one before, and one of an unknown job is ignored', () => {
    const ledger = together('a');
    ledger.checkpoint('a', 'first');
    ledger.checkpoint('a', 'second');
    ledger.checkpoint('unknown', 'first');
    expect(ledger.take()).toMatchObject({ records: [], progress: ['a', 'second'], gone: [] });
  });

  it('a job that Redis has is set aside once, and counts no more', () => {
    const ledger = together('a', 'b');
    ledger.setAside('a');
    ledger.setAside('unknown');
    const batch = ledger.take();
    expect(batch).toMatchObject({ records: [], aside: ['a'], gone: [] });
    expect([ledger.size, ledger.isDirty]).toEqual([1, false]);
    expect(isEmpty(ledger.take())).toBe(true);
  });

  it('one that Redis has not yet is told, and set aside in the same batch', async () => {
    const ledger = together();
    const kept = ledger.put(job('a'));
    ledger.setAside('a');
    await kept;
    expect(ledger.take()).toMatchObject({ records: ['a', 'record of a'], aside: ['a'] });
    expect(ledger.size).toBe(0);
  });

  it('what could not be set aside is tried again: in the next batch, or with the end of the next copy', () => {
    const ledger = together('a', 'b');
    ledger.setAside('a');
    ledger.putBack(ledger.take());
    ledger.part();
    ledger.startCopy();
    ledger.takeCopy([job('b')].values());
    // A shutdown reported it while the copy is under way.
    ledger.setAside('b');
    expect(ledger.takeAside()).toEqual(['a']);
    ledger.endCopy();
    expect(ledger.take()).toMatchObject({ records: [], aside: ['b'] });
    expect([ledger.size, ledger.isDirty]).toEqual([0, false]);
  });

  it('a job that Redis has is taken from it; one that is put again meanwhile is not', () => {
    const ledger = together('a', 'b');
    ledger.delete('a');
    ledger.delete('b');
    void ledger.put(job('b'));
    expect(ledger.take()).toMatchObject({ records: ['b', 'record of b'], bare: ['b'], gone: ['a'] });
    expect(ledger.size).toBe(1);
  });

  it('completed, a job waits for nobody any more', async () => {
    const ledger = new Ledger();
    const put = ledger.put(job('a'));
    expect(ledger.isAwaited).toBe(true);
    ledger.delete('a');
    await put;
    expect(ledger.isAwaited).toBe(false);
  });

  it('apart, only those who wait are held, however many jobs come and go', async () => {
    const ledger = together('a');
    ledger.delete('a');
    ledger.part();
    void ledger.put(job('open'));
    for (let number = 0; number < 1000; number += 1) {
      void ledger.put(job(String(number)));
      ledger.checkpoint(String(number), 'half');
      ledger.delete(String(number));
    }
    expect({ dirty: ledger.isDirty, size: ledger.size }).toEqual({ dirty: false, size: 0 });
    expect(isEmpty(ledger.take())).toBe(true);
  });

  it('what changes while the copy is made follows it', async () => {
    const ledger = new Ledger();
    const puts = ['a', 'b'].map((key) => ledger.put(job(key)));
    ledger.startCopy();
    expect(ledger.takeCopy([job('a'), job('b', 'half')].values())).toMatchObject({
      records: ['a', 'record of a', 'b', 'record of b'],
      progress: ['b', 'half'],
    });
    ledger.delete('a');
    puts.push(ledger.put(job('c')));
    ledger.endCopy();
    expect(await Promise.all(puts.map(isDone))).toEqual([true, true, false]);
    const batch = ledger.take();
    expect(batch).toMatchObject({ records: ['c', 'record of c'], gone: ['a'] });
    acknowledge(batch);
    await Promise.all(puts);
  });

  it('a job that is begun anew while the copy is made, without a checkpoint, loses that of the job before', () => {
    const ledger = new Ledger();
    ledger.startCopy();
    ledger.takeCopy([job('a', 'half'), job('b', 'half')].values());
    ledger.delete('a');
    void ledger.put(job('a'));
    // It is the last of the open jobs now, and the copy comes to it once more. Redis never had job c.
    expect(ledger.takeCopy([job('c'), job('a')].values())).toMatchObject({
      records: ['c', 'record of c', 'a', 'record of a'],
      progress: [],
      bare: ['a'],
    });
    ledger.endCopy();
    expect([ledger.size, ledger.isDirty]).toEqual([3, false]);
  });

  it('who waited for a batch that failed waits for the next copy', async () => {
    const ledger = together();
    const put = ledger.put(job('a'));
    ledger.putBack(ledger.take());
    ledger.part();
    expect(await isDone(put)).toBe(false);
    ledger.startCopy();
    ledger.takeCopy([job('a')].values());
    ledger.endCopy();
    await put;
  });

  it('a batch has its limits: a thousand jobs, or half a megabyte', () => {
    const many = together();
    for (let number = 0; number < 2500; number += 1) void many.put(job(String(number)));
    const told = [many.take(), many.take(), many.take(), many.take()];
    expect(told.map(({ records }) => records.length / 2)).toEqual([1000, 1000, 500, 0]);
    const large = together();
    for (const key of ['a', 'b', 'c']) void large.put({ key, record: 'x'.repeat(300_000) });
    expect([large.take(), large.take()].map(({ records }) => records.length / 2)).toEqual([2, 1]);
  });
});

describe('a job’s key as a field', () => {
  it.each(['', 'plain', '日本 👩‍🚀', '"quoted"', 'half \ud83d', 'half \udc00', 'a\u0000b'])(
    '%j comes back',
    (key) => {
      const field = fieldOf(key);
      expect(keyOf(field)).toBe(key);
      expect(Buffer.from(field).toString()).toBe(field);
    },
  );

  it('two halves of characters stay apart, which they would not in UTF-8', () => {
    expect(Buffer.from('\ud83d').equals(Buffer.from('\ud83e'))).toBe(true);
    expect(fieldOf('\ud83d')).not.toBe(fieldOf('\ud83e'));
  });
});

describe('the pulse', () => {
  it('is steady after one whole lease of heartbeats, not a millisecond before', () => {
    const pulse = new Pulse(1000);
    expect(pulse.isSteady(0)).toBe(false);
    for (let nowMs = 0; nowMs <= 1000; nowMs += 250) pulse.beat(nowMs);
    expect(pulse.isSteady(999)).toBe(false);
    expect(pulse.isSteady(1000)).toBe(true);
  });

  it('a gap of more than half a lease begins it anew', () => {
    for (const [gapMs, isSteady] of [
      [500, true],
      [501, false],
    ] as const) {
      const pulse = new Pulse(1000);
      for (let nowMs = 0; nowMs <= 1000; nowMs += 250) pulse.beat(nowMs);
      expect(pulse.isSteady(1000 + gapMs)).toBe(isSteady);
      pulse.beat(1000 + gapMs);
      expect(pulse.isSteady(1000 + gapMs)).toBe(isSteady);
    }
  });

  it('a lost connection begins it anew', () => {
    const pulse = new Pulse(1000);
    for (let nowMs = 0; nowMs <= 1000; nowMs += 250) pulse.beat(nowMs);
    pulse.stop();
    pulse.beat(1001);
    expect(pulse.isSteady(1001)).toBe(false);
  });
});
