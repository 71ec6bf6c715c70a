import { signalNumber } from '../reason.js';

/**
 * Thrown into work that must stop: what Ctrl-C is to a program. Carries the signal's name and number; its `stack`
 * is where the interruption came from.
 */
export class Interrupt extends Error {
  override readonly name: string = 'Interrupt';
  /** The name of the signal that stands behind it. */
  readonly signal: NodeJS.Signals;
  /** Its number. */
  readonly signum: number;

  /** @param message defaults to `"<signal> received."` */
  constructor(signal: NodeJS.Signals = 'SIGINT', message = `${signal} received.`, options?: ErrorOptions) {
    super(message, options);
    this.signal = signal;
    this.signum = signalNumber(signal);
  }

  /**
   * Whether an error comes from an interruption: is one, or has one in its chain of causes. Node's timers, streams and
   * `fetch` throw an AbortError with the interruption as its `cause`.
   */
  static isCauseOf(error: unknown): boolean {
    return chainOf(error).some((link) => link instanceof Interrupt);
  }
}

const MOST_CAUSES = 16;

/** An error, its cause, the cause of that, and so on. */
function chainOf(error: unknown): readonly Error[] {
  const chain: Error[] = [];
  for (let link = error; link instanceof Error && chain.length < MOST_CAUSES; link = link.cause)
    chain.push(link);
  return chain;
}

type Receiver = (interrupt: Interrupt) => void;

// Sections that are running under guard() right now.
const sections = new Set<Receiver>();

/**
 * The chance to clean up before the end: the reason of `job.signal`, and what {@link guard} rejects a section with.
 * Catch it, save what is worth saving, answer what can be answered, and return.
 */
export class GracefulExit extends Interrupt {
  override readonly name: string = 'GracefulExit';

  constructor(signal: NodeJS.Signals = 'SIGABRT', message?: string, options?: ErrorOptions) {
    super(signal, message, options);
  }

  /**
   * A signal listener: `process.on('SIGABRT', GracefulExit.throw)`. Rejects every section that is running under
   * {@link guard}. Without one it throws, which Node makes an uncaughtException: it cannot unwind other code.
   */
  static throw(this: void, signal: NodeJS.Signals, _signum?: number): void {
    const interrupt = new GracefulExit(signal);
    if (sections.size === 0) throw interrupt;
    for (const reject of [...sections]) reject(interrupt);
  }
}

/** Options of {@link guard}. */
export interface GuardOptions {
  /** Signals that reject the section. SIGINT does it with a plain Interrupt. @default ['SIGABRT', 'SIGINT'] */
  readonly signals?: readonly NodeJS.Signals[];
}

/**
 * Runs a section that a signal rejects, the moment it comes: the TypeScript form of `try / except GracefulExit`.
 * The section's own work goes on until it looks at the `signal` it is given. Several sections at the same time are
 * all rejected; the listeners are gone when the section ends.
 *
 * ```ts
 * try { await guard(async (signal) => render(page, signal)) }
 * catch (error) { if (error instanceof GracefulExit) await saveDraft(page); else throw error }
 * ```
 * @throws {GracefulExit | Interrupt} when one of `signals` came first; otherwise what the section throws.
 */
export async function guard<T>(
  section: (signal: AbortSignal) => T | Promise<T>,
  options: GuardOptions = {},
): Promise<T> {
  const signals = [...new Set(options.signals ?? (['SIGABRT', 'SIGINT'] as const))];
  const controller = new AbortController();
  let reject!: Receiver;
  const interrupted = new Promise<never>((_resolve, rejectPromise) => {
    reject = (interrupt) => {
      rejectPromise(interrupt);
      controller.abort(interrupt);
    };
  });
  // The section may win the race; its loser must not become an unhandledRejection.
  interrupted.catch(() => {});
  const listener = (signal: NodeJS.Signals) =>
    reject(signal === 'SIGINT' ? new Interrupt(signal) : new GracefulExit(signal));
  sections.add(reject);
  try {
    for (const signal of signals) process.on(signal, listener);
    return await Promise.race([interrupted, (async () => section(controller.signal))()]);
  } finally {
    sections.delete(reject);
    for (const signal of signals) process.off(signal, listener);
  }
}

/** Whether an error, or anything in its chain of causes, is an interrupt of this package or a plain AbortError. */
export function isInterruption(error: unknown): boolean {
  return chainOf(error).some((link) => link instanceof Interrupt || link.name === 'AbortError');
}
