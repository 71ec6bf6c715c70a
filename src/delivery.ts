import { type Clock, sleep } from './clock.js';
import { DeliveryLane } from './delivery/lane.js';
import type { Envelope } from './envelope.js';
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
  readonly onOutcome: (delivery: Delivery) => void;
  /** Called when an envelope is too large for a notifier and goes out without its payload. */
  readonly onTruncated?: (index: number) => void;
  /** Called for every failed call, for the log. */
  readonly onError?: (notifier: string, error: Error, attempt: number) => void;
}

/** Envelopes by index: an array, or a list that writes each one when it is first asked for. */
export interface EnvelopeList {
  readonly length: number;
  at(index: number): Envelope | undefined;
}

/** One envelope's outcome over all notifiers. */
export interface Delivery {
  readonly index: number;
  readonly outcome: DeliveryOutcome;
  /** By notifier; those that were not needed are left out. */
  readonly notifiers: () => Readonly<Record<string, DeliveryOutcome>>;
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
export async function deliverEnvelopes(envelopes: EnvelopeList, plan: DeliveryPlan): Promise<DeliveryResult> {
  return plan.mode === 'failover' ? failOver(envelopes, plan) : fanOut(envelopes, plan);
}

async function fanOut(envelopes: EnvelopeList, plan: DeliveryPlan): Promise<DeliveryResult> {
  const { notifiers } = plan;
  const tally = createTally(envelopes, plan);
  const waiting = new Int32Array(envelopes.length).fill(notifiers.length);
  const everything = indexesOf(envelopes);
  if (notifiers.length === 0) for (const index of everything) tally.tell(index, 'expired');

  const lanes = notifiers.map(
    (notifier) =>
      new DeliveryLane(notifier, envelopes, everything, plan, (index, outcome) => {
        tally.note(notifier.name, index, outcome);
        waiting[index] = (waiting[index] as number) - 1;
        if (waiting[index] === 0) tally.tell(index, tally.worst(index));
      }),
  );
  await Promise.all(lanes.map((lane) => runUntil(lane, plan, plan.remainingMs())));
  return { outcomes: tally.outcomes, notifiers: lanes.map((lane) => lane.report()) };
}

async function failOver(envelopes: EnvelopeList, plan: DeliveryPlan): Promise<DeliveryResult> {
  const tally = createTally(envelopes, plan);
  const reports: NotifierReport[] = [];
  let left = indexesOf(envelopes);
  for (const [position, notifier] of plan.notifiers.entries()) {
    if (left.length === 0) break;
    const refused: number[] = [];
    const lane = new DeliveryLane(notifier, envelopes, left, plan, (index, outcome) => {
      tally.note(notifier.name, index, outcome);
      if (outcome === 'delivered') tally.tell(index, 'delivered');
      else refused.push(index);
    });
    // A share each: a first notifier that hangs must leave time for the second.
    await runUntil(lane, plan, plan.remainingMs() / (plan.notifiers.length - position));
    reports.push(lane.report());
    left = refused;
  }
  for (const index of left) tally.tell(index, tally.worst(index));
  return { outcomes: tally.outcomes, notifiers: reports };
}

/** Who said what of which envelope. */
function createTally(envelopes: EnvelopeList, { onOutcome }: DeliveryPlan) {
  const outcomes: DeliveryOutcome[] = new Array(envelopes.length);
  const said = new Map<string, DeliveryOutcome[]>();
  const all = (index: number) => [...said].filter(([, list]) => list[index] !== undefined);
  return {
    outcomes,
    note(notifier: string, index: number, outcome: DeliveryOutcome): void {
      const list = said.get(notifier) ?? new Array(envelopes.length);
      said.set(notifier, list);
      list[index] = outcome;
    },
    worst(index: number): DeliveryOutcome {
      let worst: DeliveryOutcome = said.size === 0 ? 'expired' : 'delivered';
      for (const list of said.values()) worst = worse(worst, list[index] ?? 'delivered');
      return worst;
    },
    tell(index: number, outcome: DeliveryOutcome): void {
      outcomes[index] = outcome;
      const notifiers = () =>
        Object.fromEntries(all(index).map(([name, list]) => [name, list[index] as DeliveryOutcome]));
      onOutcome({ index, outcome, notifiers });
    },
  };
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

function indexesOf({ length }: EnvelopeList): number[] {
  return Array.from({ length }, (_, index) => index);
}

const SEVERITY: Readonly<Record<DeliveryOutcome, number>> = { delivered: 0, rejected: 1, expired: 2 };

function worse(a: DeliveryOutcome, b: DeliveryOutcome): DeliveryOutcome {
  return SEVERITY[a] >= SEVERITY[b] ? a : b;
}
