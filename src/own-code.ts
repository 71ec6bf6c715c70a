type Own = (...args: never[]) => unknown;

const idleChecks = new WeakMap<Own, () => boolean>();

/**
 * Marks a handler or an observer as this package's own: it never blocks the event loop, and `idle` tells whether code of
 * the application is under way behind it, in an open request say.
 */
export function ownCode<F extends Own>(code: F, idle: () => boolean = () => true): F {
  idleChecks.set(code, idle);
  return code;
}

/** Whether this is our own code with none of the application's behind it. Another copy's of this package does not count as ours. */
export function isIdleOwnCode(code: Own): boolean {
  return idleChecks.get(code)?.() ?? false;
}
