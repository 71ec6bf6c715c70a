// For all copies of this package in the process.
const SUCCEEDED = Symbol.for('shutdown-bus.succeeded');
const ALONE = Symbol.for('shutdown-bus.alone');
const shared = globalThis as { [SUCCEEDED]?: boolean; [ALONE]?: boolean };

/** This process was asked to end by its primary, and by nobody who signals its children as well. */
export function askAlone(): void {
  shared[ALONE] = true;
}

/** Whether that was said. */
export function isAskedAlone(): boolean {
  return shared[ALONE] === true;
}

/** Another process serves in this one's place: it goes, and the service stays. */
export function succeed(): void {
  shared[SUCCEEDED] = true;
}

/** Whether that was said: then nobody is to be told that the service is not ready, and nothing is waited for until everybody knows. */
export function isSucceeded(): boolean {
  return shared[SUCCEEDED] === true;
}
