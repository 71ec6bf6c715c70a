import type { Clock } from './clock.js';

/** What handing reports over is taken to need, in milliseconds, where memory runs out before the time does. */
export const SPEAK_MS = 500;

/** How the budget of a run is shared out; all in milliseconds. */
export interface BudgetShares {
  /** From the trigger to the exit. */
  readonly budgetMs: number;
  /** Kept for delivery. */
  readonly reserveMs: number;
  /** Kept for the release phase. */
  readonly releaseReserveMs: number;
  /** Kept for interrupted jobs to clean up before the snapshot. */
  readonly interruptGraceMs: number;
}

/**
 * One deadline, fixed at the trigger. Whoever runs may use all the time that those after it have not reserved:
 *
 * ```
 * 0                                                                budgetMs
 * |- intake, drain ──────────────|- abort -|- deliver ---|- release -|
 *                                   grace     reserve       reserve
 * ```
 */
export interface Budget {
  /** On the clock of the run. */
  readonly startedAt: number;
  readonly deadlineAt: number;
  /** Milliseconds since the trigger. */
  elapsedMs(): number;
  /** Milliseconds until the end, less `reservedMs` for those that come after; never negative. */
  remainingMs(reservedMs?: number): number;
}

/** Fixes the deadline, `budgetMs` after `startedAt` on that clock: it never moves again. */
export function startBudget(clock: Clock, budgetMs: number, startedAt: number): Budget {
  const deadlineAt = startedAt + budgetMs;
  return {
    startedAt,
    deadlineAt,
    elapsedMs: () => clock.now() - startedAt,
    remainingMs: (reservedMs = 0) => Math.max(0, deadlineAt - reservedMs - clock.now()),
  };
}

/** A share of a budget: an AbortSignal that fires when its time is up, or earlier by `end`. */
export interface Share {
  readonly signal: AbortSignal;
  remainingMs(): number;
  /** Aborts now, with that reason. */
  end(reason: unknown): void;
  /** Lets go of the timer; the signal stays as it is. */
  release(): void;
}

/** Opens a share of `ms` milliseconds from now. Its timer keeps the process alive: a share is waited for. */
export function openShare(clock: Clock, ms: number, reason: () => unknown): Share {
  const controller = new AbortController();
  const endsAt = clock.now() + ms;
  // Even with no time left the handler is called, with a signal that has aborted: clean-up that needs no waiting still happens.
  const timer = ms > 0 ? clock.setTimeout(() => controller.abort(reason()), ms) : undefined;
  if (ms <= 0) controller.abort(reason());
  return {
    signal: controller.signal,
    remainingMs: () => (controller.signal.aborted ? 0 : Math.max(0, endsAt - clock.now())),
    end: (why) => controller.abort(why),
    release: () => {
      if (timer !== undefined) clock.clearTimeout(timer);
    },
  };
}
