import { describe, expect, it } from 'vitest';
import { shareBudget } from '../../supervisor/shares.js';

describe('a budget that workers and their primary share', () => {
  it.each([
    // budget, workers, reserve, release
    [9000, 7650, 810, 270],
    [27_000, 25_500, 900, 300],
    [1000, 800, 120, 40],
    [200, 100, 60, 20],
  ])('of %i ms gives workers %i, reports of killed ones %i, the exit %i', (budgetMs, ...parts) => {
    const { workerBudgetMs, reserveMs, releaseReserveMs } = shareBudget(budgetMs);
    expect([workerBudgetMs, reserveMs, releaseReserveMs]).toEqual(parts);
  });

  it('what is kept for the primary is 15 %, at least 200 ms and at most 1500 ms', () => {
    const kept = (budgetMs: number) => budgetMs - shareBudget(budgetMs).workerBudgetMs;
    expect([kept(1333), kept(1340)]).toEqual([200, 201]);
    expect([kept(9990), kept(10_000), kept(10_010)]).toEqual([1499, 1500, 1500]);
  });

  it('never promises more than there is, and never nothing to the workers', () => {
    const budgets = [...Array.from({ length: 3000 }, (_, ms) => ms + 1), 0.5, 60_000, 2 ** 31 - 1];
    const wrong = budgets.filter((budgetMs) => {
      const { workerBudgetMs, reserveMs, releaseReserveMs } = shareBudget(budgetMs);
      const isWhole = [workerBudgetMs, reserveMs, releaseReserveMs].every(Number.isInteger);
      const sum = workerBudgetMs + reserveMs + releaseReserveMs;
      return !isWhole || workerBudgetMs < 1 || sum > Math.max(1, budgetMs);
    });
    expect(wrong).toEqual([]);
  });

  it('what is kept leaves time to kill late workers before their jobs are reported', () => {
    for (const budgetMs of [200, 1000, 9000, 90_000]) {
      const { workerBudgetMs, reserveMs, releaseReserveMs } = shareBudget(budgetMs);
      expect(budgetMs - workerBudgetMs - reserveMs - releaseReserveMs).toBeGreaterThan(0);
    }
  });
});
