/** Any listener. */
export type Listener = (...args: never[]) => unknown;

// For all copies of this package in the process.
const OWN = Symbol.for('shutdown-bus.listener');

/** Marks a listener of the process as a bus's: it is none of the application's. */
export function asOwn<L extends Listener>(listener: L): L {
  return Object.assign(listener, { [OWN]: true });
}

export function isOwn(listener: Listener): boolean {
  return OWN in listener;
}

/** What an application listens for that knows nothing of us. */
export interface Others {
  /** Also where it listened until a moment ago: one that listens once has left when its turn comes. */
  hears(event: string): boolean;
  /** Called when that may have changed. */
  onChange: (event: string) => void;
}
