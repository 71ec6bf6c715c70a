/** How one budget is shared between workers and their primary; all in milliseconds. */
export interface BudgetParts {
  /** From the trigger to the primary's exit. */
  readonly budgetMs: number;
  /** Of the workers, from their own trigger. */
  readonly workerBudgetMs: number;
  /** Kept for the reports of workers that had to be killed. */
  readonly reserveMs: number;
  /** Of what the workers do not get: for SIGKILL to do its work. */
  readonly killMs: number;
  /** Kept for the primary's own exit. */
  readonly releaseReserveMs: number;
}

const MOST_KILL_MS = 100;
const MARGIN = { share: 0.2, least: 200, most: 2000 } as const;

/**
 * ```
 * 0                                     workerBudgetMs             budgetMs
 * |- workers drain, report, exit -----------|- kill -|- reserve -|- exit -|
 *                                           late ones  their jobs
 * ```
 */
export function shareBudget(budgetMs: number): BudgetParts {
  const wanted = Math.min(MARGIN.most, Math.max(MARGIN.least, budgetMs * MARGIN.share));
  const marginMs = Math.min(wanted, budgetMs / 2);
  return {
    budgetMs,
    workerBudgetMs: Math.max(1, Math.floor(budgetMs - marginMs)),
    killMs: Math.min(MOST_KILL_MS, marginMs * 0.1),
    reserveMs: Math.floor(marginMs * 0.7),
    releaseReserveMs: Math.floor(marginMs * 0.1),
  };
}
