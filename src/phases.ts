import type { JobView } from './jobs/job.js';
import type { ShutdownReason } from './reason.js';

/** The four phases in the order of a run. */
export const PHASES = ['intake', 'drain', 'deliver', 'release'] as const;

/**
 * - `intake`: say that nothing new should come
 * - `drain`: let what is under way finish
 * - `deliver`: report what could not finish
 * - `release`: close what the others needed: pools, files, connections
 */
export type Phase = (typeof PHASES)[number];

/** The priority that each phase's name stands for. */
export const PHASE_PRIORITY: Readonly<Record<Phase, number>> = {
  intake: 300,
  drain: 200,
  deliver: 100,
  release: 0,
};

/** The built-in step between drain and deliver that interrupts open jobs. */
export const INTERRUPT_PRIORITY = 150;

/** The phase a priority belongs to: the one it must not run after. 150 is still `drain`, 50 still `deliver`. */
export function phaseOf(priority: number): Phase {
  if (priority > PHASE_PRIORITY.drain) return 'intake';
  if (priority > PHASE_PRIORITY.deliver) return 'drain';
  return priority > PHASE_PRIORITY.release ? 'deliver' : 'release';
}

/** What a handler is called with. */
export interface ShutdownContext {
  readonly reason: ShutdownReason;
  /** Aborted when this handler's time is up. */
  readonly signal: AbortSignal;
  /** Milliseconds until this handler's time is up. */
  remainingMs(): number;
  /** The jobs that are not finished now. */
  readonly jobs: readonly JobView[];
}

/** A piece of the shutdown. What it throws becomes a line of the report and stops nobody else. */
export type ShutdownHandler = (context: ShutdownContext) => void | Promise<void>;

/** Options of `subscribeShutdown`. */
export interface SubscribeOptions {
  /** Shown in logs and reports. Required when the function has none. */
  readonly name?: string;
  /** When it runs. @default 'release' */
  readonly phase?: Phase;
  /** Any finite number, higher first, equal ones together; instead of `phase`, or to place it between two. @default 0 */
  readonly priority?: number;
  /** This handler's own limit in milliseconds. @default what the handlers after it have not reserved */
  readonly timeoutMs?: number;
  /** Milliseconds kept for it, whatever the handlers before it do. @default 0 */
  readonly reserveMs?: number;
  /** Also runs in a quick shutdown (SIGQUIT), which leaves out the rest of the drain phase. @default false */
  readonly essential?: boolean;
  /** Facts for this handler's entry in the report, asked for when it has ended. */
  readonly details?: () => Readonly<Record<string, unknown>>;
}

/** A handler in its place. */
export interface Subscriber {
  readonly name: string;
  readonly priority: number;
  readonly handler: ShutdownHandler;
  readonly timeoutMs: number | undefined;
  readonly reserveMs: number;
  readonly details: (() => Readonly<Record<string, unknown>>) | undefined;
  readonly registeredAt: string | undefined;
  /** Still runs in a quick shutdown, although the rest of the drain phase does not. */
  readonly essential: boolean;
}
