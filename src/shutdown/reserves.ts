import type { BudgetShares } from '../budget.js';
import { INTERRUPT_PRIORITY, PHASE_PRIORITY, type Subscriber } from '../phases.js';

type Reserved = Pick<Subscriber, 'priority' | 'reserveMs'>;

/** The milliseconds that are kept for whoever comes after a priority. @param ahead all that has not begun, in any order. */
export function reservedAfter(priority: number, ahead: readonly Reserved[], shares: BudgetShares): number {
  const { deliver, release } = PHASE_PRIORITY;
  const reserves = new Map<number, number>();
  if (priority > release) reserves.set(release, shares.releaseReserveMs);
  // Handlers of one priority run together, so the largest of their reserves is theirs.
  for (const later of ahead) {
    reserves.set(later.priority, Math.max(reserves.get(later.priority) ?? 0, later.reserveMs));
  }
  // What follows delivery in its own phase, answers to open requests say, shares its reserve; half of it stays its own.
  const delivery = reserves.get(deliver) ?? 0;
  const sumWhere = (is: (later: number) => boolean) =>
    [...reserves].reduce((sum, [later, ms]) => (is(later) ? sum + ms : sum), 0);
  const following = sumWhere((later) => later > release && later < deliver);
  if (delivery > 0) reserves.set(deliver, Math.max(delivery / 2, delivery - following));
  // Neither what follows it nor what the release phase asks for must cost delivery its own.
  const { budgetMs, reserveMs, releaseReserveMs, interruptGraceMs } = shares;
  const beyond = Math.max(0, budgetMs - reserveMs - interruptGraceMs);
  const mostFollowing = reserveMs / 2 + Math.max(0, beyond - releaseReserveMs);
  const toRelease = sumWhere((later) => later <= release);
  return (
    sumWhere((later) => later >= deliver) +
    (priority >= deliver ? Math.min(following, mostFollowing) : following) +
    (priority > release ? Math.min(toRelease, beyond) : toRelease)
  );
}

/** The milliseconds that a drain has when this is all that is subscribed. */
export function leftForDrain(subscriber: Reserved, shares: BudgetShares): number {
  const { drain, deliver } = PHASE_PRIORITY;
  const steps = [
    { priority: INTERRUPT_PRIORITY, reserveMs: shares.interruptGraceMs },
    { priority: deliver, reserveMs: shares.reserveMs },
  ];
  return shares.budgetMs - reservedAfter(drain, [...steps, subscriber], shares);
}
