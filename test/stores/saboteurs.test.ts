import { describe, expect, it } from 'vitest';
import type { JobStore } from '../../src/store.js';
import { type StoreHarness, storeConformance, storeSaboteurs } from '../../src/testing/index.js';
import { plainHarness } from './plain-store.js';

describe('the store suite', () => {
  const ids = storeConformance(plainHarness()).map(({ id }) => id);

  it('has a saboteur for every case, and a case for every saboteur', () => {
    expect(Object.keys(storeSaboteurs).sort()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('leaves out what a harness cannot do, and what a store does not have', () => {
    const { store } = plainHarness();
    const left = (harness: StoreHarness) => storeConformance(harness).map(({ id }) => id);
    const ofOwners = ['S32', 'S33', 'S34', 'S37', 'S38', 'S39'];
    expect(left({ store })).toEqual(['S21', 'S22', 'S23', 'S24', ...ofOwners]);
    const lacking = (...lacks: StoreHarness['lacks'] & object) => {
      const without = left({ ...plainHarness(), lacks });
      return ids.filter((id) => !without.includes(id));
    };
    expect(lacking('giveBack', 'setAside')).toEqual(['S12', 'S13', 'S16', 'S29', 'S30']);
    expect(lacking('own')).toEqual(['S32', 'S33', 'S34', 'S35', 'S36', 'S37', 'S38', 'S39', 'S40']);
  });

  it('D25: tells a store without `own` that it has none, unless its harness says so', async () => {
    const without = (store: JobStore): JobStore => Object.assign(store, { own: undefined });
    const failed = storeConformance(plainHarness(without)).filter(
      ({ id }) => id >= 'S32' && id !== 'S35' && id !== 'S40',
    );
    for (const { run } of failed) await expect(run()).rejects.toThrow(/has no `own`; .* list it in what/);
  });

  it('lets an honest store pass, also when all cases share one place', async () => {
    const harness = plainHarness();
    expect(await casesFailedBy(() => harness)).toEqual([]);
  });

  // A place of its own for each case: what a saboteur leaves behind must not slow the others down.
  it.each(ids)(
    '%s alone catches its saboteur',
    async (id) => {
      expect(await casesFailedBy(() => plainHarness(storeSaboteurs[id]?.()))).toEqual([id]);
    },
    60_000,
  );
});

async function casesFailedBy(makeHarness: () => StoreHarness): Promise<string[]> {
  const failed: string[] = [];
  for (const { id } of storeConformance(makeHarness())) {
    const one = storeConformance(makeHarness()).find((other) => other.id === id);
    await one?.run().catch((error: Error) => {
      expect(error.message).not.toBe('');
      failed.push(id);
    });
  }
  return failed;
}
