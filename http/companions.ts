// For all copies of this package in the process.
const COMPANIONS = Symbol.for('shutdown-bus.companions');
const shared = globalThis as { [COMPANIONS]?: () => Promise<void> };

/**
 * Other processes close the same port at this time. A client that is answered connects again, and one that does so while the last of
 * them closes would be lost: so nobody answers before all have closed.
 * @param closed called each time that this process has closed a listener; resolves when the others have, too. Never rejects.
 */
export function closeWith(closed: () => Promise<void>): void {
  shared[COMPANIONS] = closed;
}

/** Resolves when all others have closed theirs; at once where there are none. */
export async function companionsClosed(): Promise<void> {
  await shared[COMPANIONS]?.();
}
