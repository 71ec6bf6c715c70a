import type { Clock } from '../src/clock.js';

/**
 * How the draining of the backlog ended: nobody waits any more · the limit against floods · the drain phase's time was
 * up · it was turned off · others accept from the same one.
 */
export type BacklogEnding = 'quiet' | 'cap' | 'deadline' | 'off' | 'others';

/** What {@link emptyBacklog} looks at. */
export interface BacklogPlan {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Milliseconds after which it gives up on a backlog that keeps filling. */
  readonly mostMs: number;
  /** Connections accepted so far, by any count that only grows. */
  accepted(): number;
  /** Connections that wait in the kernel; `undefined` where it does not tell. */
  waiting(): number | undefined;
}

/** Turns without a new connection that count as proof where the kernel does not tell. */
const QUIET_TURNS = 3;
/** Turns without a new connection although the kernel has some: they are not ours to accept. */
const FRUITLESS_TURNS = 100;
/** More than any kernel queues by default (4096), so that only a flood gets there. */
const MOST_CONNECTIONS = 8192;

/**
 * Keeps the listener's event loop turning until every connection that the kernel has completed was accepted. libuv
 * accepts about one a turn, so a turn without a new one is the sign, and the kernel's own count the proof.
 * Never rejects, never waits: an empty backlog takes one turn.
 */
export async function emptyBacklog(plan: BacklogPlan): Promise<BacklogEnding> {
  const endsAt = plan.clock.now() + plan.mostMs;
  const first = plan.accepted();
  let seen = first;
  for (let quiet = 0; ; ) {
    if (plan.signal.aborted) return 'deadline';
    await turn();
    const accepted = plan.accepted();
    quiet = accepted > seen ? 0 : quiet + 1;
    seen = accepted;
    if (quiet > 0) {
      const waiting = plan.waiting();
      if (waiting === 0 || (waiting === undefined && quiet >= QUIET_TURNS)) return 'quiet';
      if (quiet >= FRUITLESS_TURNS) return 'cap';
    }
    if (accepted - first >= MOST_CONNECTIONS || plan.clock.now() >= endsAt) return 'cap';
  }
}

/** One turn of the event loop: whatever the kernel had ready was read before it resolves. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

// For all copies of this package in the process.
const OTHERS = Symbol.for('shutdown-bus.backlog-of-others');
const shared = globalThis as { [OTHERS]?: boolean };

/** Other processes go on accepting from the backlogs of this one's servers: under load it would never see them empty. */
export function leaveBacklogToOthers(): void {
  shared[OTHERS] = true;
}

/** Whether that was said. */
export function isLeftToOthers(): boolean {
  return shared[OTHERS] === true;
}
