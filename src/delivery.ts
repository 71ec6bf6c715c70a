import { type Clock, sleep } from './clock.js';
import { DeliveryLane } from './delivery-lane.js';
import type { Envelope } from './envelope.js';
import type { JobDelivery } from './events.js';
import type { Notifier } from './notifier.js';
import type { DeliveryOutcome, NotifierReport } from './report.js';

/** `all`: every notifier gets every envelope. `failover`: the next one only what those before it did not take. */
export type DeliveryMode = 'all' | 'failover';

/** How and for how long to deliver. */
export interface DeliveryPlan {
  readonly notifiers: readonly Notifier[];
  readonly mode: DeliveryMode;
  readonly clock: Clock;
  /** From 0 up to, not including, 1: spreads the back-off. */
  readonly random: () => number;
  /** Milliseconds left for all of it. */
  readonly remainingMs: () => number;
  /** Ends it early. */
  readonly signal?: AbortSignal;
  /** Called for each envelope as soon as its outcome over all notifiers is known. */
  readonly onOutcome: (delivery: JobDelivery) => void;
  /** Called for every failed call, for the log. */
  readonly onError?: (notifier: string, error: Error, attempt: number) => void;
}

/** What became of the envelopes, in their order. */
export interface DeliveryResult {
  readonly outcomes: readonly DeliveryOutcome[];
  readonly notifiers: readonly NotifierReport[];
}

/**
 * Hands envelopes to notifiers until each was taken, refused, or the time is up. Never throws; settles when the
 * last outcome is known, at the latest when `remainingMs` is over.
 */
export async function deliverEnvelopes(
  envelopes: readonly Envelope[],
  plan: DeliveryPlan,
): Promise<DeliveryResult> {
  return plan.mode === 'failover' ? failOver(envelopes, plan) : fanOut(envelopes, plan);
}

async function fanOut(envelopes: readonly Envelope[], plan: DeliveryPlan): Promise<DeliveryResult> {
  const { notifiers } = plan;
  const outcomes: DeliveryOutcome[] = envelopes.map(() => (notifiers.length === 0 ? 'expired' : 'delivered'));
  const waiting = envelopes.map(() => notifiers.length);
  const byNotifier = envelopes.map((): Record<string, DeliveryOutcome> => ({}));
  const tell = (index: number) => tellOutcome(plan, envelopes, index, outcomes, byNotifier);
  if (notifiers.length === 0) for (const index of envelopes.keys()) tell(index);

  const everything = [...envelopes.keys()];
  const lanes = notifiers.map(
    (notifier) =>
      new DeliveryLane(notifier, envelopes, everything, plan, (index, outcome) => {
        (byNotifier[index] as Record<string, DeliveryOutcome>)[notifier.name] = outcome;
        outcomes[index] = worse(outcomes[index] as DeliveryOutcome, outcome);
        waiting[index] = (waiting[index] as number) - 1;
        if (waiting[index] === 0) tell(index);
      }),
  );
  await Promise.all(lanes.map((lane) => runUntil(lane, plan, plan.remainingMs())));
  return { outcomes, notifiers: lanes.map((lane) => lane.report()) };
}

async function failOver(envelopes: readonly Envelope[], plan: DeliveryPlan): Promise<DeliveryResult> {
  const outcomes: DeliveryOutcome[] = envelopes.map(() => 'expired');
  const byNotifier = envelopes.map((): Record<string, DeliveryOutcome> => ({}));
  const tell = (index: number) => tellOutcome(plan, envelopes, index, outcomes, byNotifier);
  const reports: NotifierReport[] = [];
  let left = [...envelopes.keys()];
  for (const [position, notifier] of plan.notifiers.entries()) {
    if (left.length === 0) break;
    const refused: number[] = [];
    const lane = new DeliveryLane(notifier, envelopes, left, plan, (index, outcome) => {
      (byNotifier[index] as Record<string, DeliveryOutcome>)[notifier.name] = outcome;
      outcomes[index] = outcome;
      if (outcome === 'delivered') tell(index);
      else refused.push(index);
    });
    // A share each: a first notifier that hangs must leave time for the second.
    await runUntil(lane, plan, plan.remainingMs() / (plan.notifiers.length - position));
    reports.push(lane.report());
    left = refused;
  }
  for (const index of left) tell(index);
  return { outcomes, notifiers: reports };
}

/** Runs a lane, and closes it when its time is up or the plan is aborted. */
async function runUntil(lane: DeliveryLane, plan: DeliveryPlan, ms: number): Promise<void> {
  const time = new AbortController();
  const stop = () => time.abort();
  plan.signal?.addEventListener('abort', stop, { once: true });
  if (plan.signal?.aborted) stop();
  const expired = sleep(plan.clock, ms, time.signal).then(() => lane.expire());
  await lane.run();
  stop();
  plan.signal?.removeEventListener('abort', stop);
  await expired;
}

function tellOutcome(
  plan: DeliveryPlan,
  envelopes: readonly Envelope[],
  index: number,
  outcomes: readonly DeliveryOutcome[],
  byNotifier: readonly Record<string, DeliveryOutcome>[],
): void {
  plan.onOutcome({
    envelope: envelopes[index] as Envelope,
    outcome: outcomes[index] as DeliveryOutcome,
    notifiers: byNotifier[index] as Record<string, DeliveryOutcome>,
  });
}

const SEVERITY: Readonly<Record<DeliveryOutcome, number>> = { delivered: 0, rejected: 1, expired: 2 };

function worse(a: DeliveryOutcome, b: DeliveryOutcome): DeliveryOutcome {
  return SEVERITY[a] >= SEVERITY[b] ? a : b;
}
