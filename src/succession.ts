// For all copies of this package in the process.
const SUCCEEDED = Symbol.for('shutdown-bus.succeeded');
const shared = globalThis as { [SUCCEEDED]?: boolean };

/** Another process serves in this one's place: it goes, and the service stays. */
export function succeed(): void {
  shared[SUCCEEDED] = true;
}

/** Whether that was said: then nobody is to be told that the service is not ready, and nothing is waited for until everybody knows. */
export function isSucceeded(): boolean {
  return shared[SUCCEEDED] === true;
}
