import type { JobStore } from '../store.js';
import type { ConformanceCase } from './notifier-conformance.js';
import { claimCases } from './store-claim-cases.js';
import { conductCases } from './store-conduct-cases.js';
import { keepingCases } from './store-keeping-cases.js';
import { ownerCases } from './store-owner-cases.js';
import type { StoreWill } from './store-tenant.js';
import { type Trial, withTrial } from './store-trial.js';

/** What the suite needs to put a store to the test. */
export interface StoreHarness {
  /**
   * A fresh store, not yet opened. All of them reach the same place, which may hold what earlier cases left there; so the cases
   * must run one after the other.
   */
  store(): Promise<JobStore>;
  /**
   * Another process makes such a store, calls `carryOut` with it and this will, and is killed at once, without a word. Resolves when it is
   * gone. For a store that ends with its process, leave it out.
   */
  abandon?(will: StoreWill): Promise<void>;
  /** The same with a process that is not killed, has nothing else to do, and ends by itself. Rejects if it does not. */
  leave?(will: StoreWill): Promise<void>;
  /** A fresh store whose place takes what is sent to it and never answers. For a store that talks to somebody. */
  hanging?(): Promise<JobStore>;
  /** Everything in the place is lost, while stores use it. */
  wipe?(): Promise<void>;
  /** How long it may take until the jobs of a process that was killed are given out. @default 5000 */
  readonly patienceMs?: number;
  /** The optional methods that the store does not have. */
  readonly lacks?: readonly ('giveBack' | 'setAside' | 'own')[];
}

/** @internal A case before it knows its harness; left out when the harness lacks what it `needs`. */
export interface StoreCase {
  readonly id: string;
  readonly title: string;
  readonly needs?: 'abandon' | 'leave' | 'hanging' | 'wipe';
  readonly uses?: 'giveBack' | 'setAside' | 'own';
  readonly run: (trial: Trial) => Promise<void>;
}

/**
 * The contract of `JobStore` as test cases, S01 to S40, for any test runner that runs them one after the other and gives each
 * some times the harness's `patienceMs`. Each case makes its own stores and closes them. S01 to S20, S29 to S31, S35, S36 and S40 are
 * left out without `abandon`, S25 without `leave`, S26 and S27 without `hanging`, S28 without `wipe`, S32 to S40 with `lacks: ['own']`; a store
 * that has no `own`, and a harness that does not say so, fail them.
 * @example
 * ```ts
 * for (const { id, title, run } of storeConformance(harness)) it(`${id}: ${title}`, run, 30_000);
 * ```
 */
export function storeConformance(harness: StoreHarness): readonly ConformanceCase[] {
  return [...keepingCases, ...claimCases, ...conductCases, ...ownerCases]
    .filter(({ needs }) => needs === undefined || harness[needs] !== undefined)
    .filter(({ uses }) => uses === undefined || harness.lacks?.includes(uses) !== true)
    .sort((a, b) => a.id.localeCompare(b.id))
    .map(({ id, title, run }) => ({ id, title, run: () => withTrial(harness, run) }));
}
