import type { Envelope } from '../envelope.js';
import type { Notifier } from '../notifier.js';
import { arrivalCases } from './notifier-arrival-cases.js';
import { conductCases } from './notifier-conduct-cases.js';
import { failureCases } from './notifier-failure-cases.js';
import { createTrial, type Trial } from './notifier-trial.js';

/** What the suite needs to put a notifier to the test: one far end for each fate of a call. */
export interface NotifierHarness {
  /** A fresh notifier whose far end works. */
  healthy(): Promise<Notifier>;
  /** A fresh notifier whose far end answers every call with a failure, at once. */
  failing(): Promise<Notifier>;
  /** A fresh notifier whose far end takes the call and never answers. */
  hanging(): Promise<Notifier>;
  /**
   * Waits (bounded) until the far end of the healthy notifiers made since the last call holds `count` envelopes more,
   * then returns them, in any order, as parsed JSON; also the surplus ones seen by then.
   */
  received(count: number): Promise<readonly Envelope[]>;
  /** How many calls reached the far end of the failing notifiers so far, where the far end can tell. */
  failedCalls?(): number;
  /** Texts that must never show in an error. */
  readonly secrets?: readonly string[];
}

/** One case of a conformance suite. */
export interface ConformanceCase {
  /** Stable: to name in a bug report, or in a test runner's filter. */
  readonly id: string;
  readonly title: string;
  /** Rejects with what was wrong and how to mend it. */
  run(): Promise<void>;
}

/** @internal A case before it knows its harness; left out when the harness lacks what it `needs`. */
export interface NotifierCase {
  readonly id: string;
  readonly title: string;
  readonly needs?: 'failedCalls' | 'secrets';
  readonly run: (trial: Trial) => Promise<void>;
}

/**
 * The contract of `Notifier` as test cases, N01 to N16, for any test runner that gives a test 5 s. Each case makes
 * its own notifiers and closes them. N08 is left out when the harness has no `failedCalls`, N16 without `secrets`.
 * @example
 * ```ts
 * for (const { id, title, run } of notifierConformance(harness)) it(`${id}: ${title}`, run);
 * ```
 */
export function notifierConformance(harness: NotifierHarness): readonly ConformanceCase[] {
  const trial = createTrial(harness);
  return [...arrivalCases, ...failureCases, ...conductCases]
    .filter(({ needs }) => needs === undefined || harness[needs] !== undefined)
    .sort((a, b) => a.id.localeCompare(b.id))
    .map(({ id, title, run }) => ({ id, title, run: () => run(trial) }));
}
