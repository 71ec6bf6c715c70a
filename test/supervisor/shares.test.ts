import { describe, expect, it } from 'vitest';
import { shareBudget } from '../../supervisor/shares.js';

describe('a budget that workers and their primary share', () => {
  it.each([
    // budget, workers, reserve, release
    [9000, 7200, 1260, 180],
    [27_000, 25_000, 1400, 200],
    [1000, 800, 140, 20],
    [200, 100, 70, 10],
  ])('of %i ms gives workers %i, reports of killed ones %i, the exit %i', (budgetMs, ...parts) => {
    const { workerBudgetMs, reserveMs, releaseReserveMs } = shareBudget(budgetMs);
    expect([workerBudgetMs, reserveMs, releaseReserveMs]).toEqual(parts);
  });

  it('what is kept for the primary is 20 %, at least 200 ms and at most 2000 ms', () => {
    const kept = (budgetMs: number) => budgetMs - shareBudget(budgetMs).workerBudgetMs;
    expect([kept(995), kept(1005)]).toEqual([200, 201]);
    expect([kept(9990), kept(10_000), kept(10_010)]).toEqual([1998, 2000, 2000]);
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

  it('late workers are killed after their own deadline, and with time for it', () => {
    for (const budgetMs of [10, 165, 250, 1350, 2500, 9000, 90_000]) {
      const { workerBudgetMs, reserveMs, releaseReserveMs, killMs } = shareBudget(budgetMs);
      const killedAt = budgetMs - reserveMs - releaseReserveMs - killMs;
      expect(killedAt).toBeGreaterThanOrEqual(workerBudgetMs);
      expect(killMs).toBeGreaterThan(0);
    }
  });

  it('what is kept leaves time to kill late workers before their jobs are reported', () => {
    for (const budgetMs of [200, 1000, 9000, 90_000]) {
      const { workerBudgetMs, reserveMs, releaseReserveMs } = shareBudget(budgetMs);
      expect(budgetMs - workerBudgetMs - reserveMs - releaseReserveMs).toBeGreaterThan(0);
    }
  });
});
