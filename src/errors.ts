/**
 * Every error this package raises carries one of these stable codes.
 * - `INVALID_OPTION`: an option of a call has a value that is not allowed
 * - `INVALID_ENVIRONMENT`: one or more `SHUTDOWN_*` variables are bad; the message lists all of them
 * - `ALREADY_CONFIGURED`: `configureShutdown` after the default bus was used
 * - `HANDLER_UNNAMED`: an anonymous function was subscribed without `name`
 * - `PHASE_PAST`: subscribed during a shutdown to a phase that has already begun
 * - `REGISTRY_SEALED`: a job was begun after the snapshot of the shutdown
 * - `JOB_ID_TAKEN`: a job was begun with the id of a job that is still open
 * - `BUS_DISPOSED`: the bus was used after `dispose()`
 * - `PACKAGE_MISSING`: a notifier, a store or a supervisor needs a package that is not installed
 * - `STORE_FAILED`: a job store could not keep or read a record (in logs and envelopes)
 * - `OWNERSHIP_LOST`: a name may be owned by another process from now on (the reason of an ownership's signal)
 * - `DELIVERY_FAILED`: a notifier could not hand an envelope over (in receipts and reports)
 */
export type ShutdownErrorCode =
  | 'INVALID_OPTION'
  | 'INVALID_ENVIRONMENT'
  | 'ALREADY_CONFIGURED'
  | 'HANDLER_UNNAMED'
  | 'PHASE_PAST'
  | 'REGISTRY_SEALED'
  | 'JOB_ID_TAKEN'
  | 'BUS_DISPOSED'
  | 'PACKAGE_MISSING'
  | 'STORE_FAILED'
  | 'OWNERSHIP_LOST'
  | 'DELIVERY_FAILED';

const BRAND = Symbol.for('shutdown-bus.error');

/** An error raised by this package: branch on `code`, show `message`. */
export class ShutdownError extends Error {
  override readonly name: string = 'ShutdownError';
  readonly code: ShutdownErrorCode;
  /** @internal */
  readonly [BRAND] = true;

  constructor(code: ShutdownErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Tells a {@link ShutdownError}, also one made by another copy of this package; with `code`, only that kind. */
export function isShutdownError(error: unknown, code?: ShutdownErrorCode): error is ShutdownError {
  return (
    typeof error === 'object' &&
    error !== null &&
    (error as Record<symbol, unknown>)[BRAND] === true &&
    (code === undefined || (error as ShutdownError).code === code)
  );
}

/** The text of anything that was thrown, on one line. */
export function messageOf(error: unknown): string {
  try {
    const text = error instanceof Error ? error.message || error.name : String(error);
    return text.replace(/\s*\n\s*/g, ' ');
  } catch {
    return 'an error that cannot be shown as text';
  }
}

/** A value as an error message shows it: texts in quotes. */
export function show(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : messageOf(value);
}

/** The names of some options: an object, so that the compiler notices one that is missing. */
export type OptionNames<T> = Readonly<Record<keyof T, true>>;

/** What is wrong with the names of some options: a misspelt one would be ignored without a word. */
export function misspelt<T extends object>(options: T, names: OptionNames<T>): string | undefined {
  const known = Object.keys(names);
  const wrong = Object.keys(options).filter((name) => !known.includes(name));
  return wrong.length === 0
    ? undefined
    : `${wrong.map(show).join(', ')} is no option, allowed: ${known.join(', ')}`;
}

/** @throws {ShutdownError} `INVALID_OPTION` for a misspelt option of `who`. */
export function refuseMisspelt<T extends object>(who: string, options: T, names: OptionNames<T>): void {
  const problem = misspelt(options ?? {}, names);
  if (problem !== undefined) throw new ShutdownError('INVALID_OPTION', `${who}: ${problem}`);
}

/** The same value as an Error: what was thrown need not be one. */
export function toError(thrown: unknown): Error {
  try {
    if (thrown instanceof Error) return thrown;
  } catch {
    // A revoked proxy.
  }
  return new Error(messageOf(thrown), { cause: thrown });
}
