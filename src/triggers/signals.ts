import type { ProcessLike } from '../process-like.js';
import { asOwn } from './own-listener.js';

/** What a signal does to a bus. */
export interface SignalActions {
  /** Whether a shutdown is under way. */
  stopping(): boolean;
  /** Begins it. */
  begin(signal: NodeJS.Signals): void;
  /** Leaves out what is left of intake and drain. */
  hurry(): void;
  /** Gives a shutdown that has more time than usual the usual time from now on. @returns whether it was one. */
  limit(): boolean;
  /** Ends the process now with that exit code. */
  force(code: number): void;
  /** Says why a signal had no effect. */
  ignored(signal: NodeJS.Signals, why: string): void;
}

/**
 * Listens for signals; other listeners of the process stay as they are.
 *
 * ```
 *            running          stopping
 * SIGTERM    begin            ignored: platforms repeat it · without haste: the usual budget from now on
 * SIGHUP     begin            ignored
 * SIGINT     begin            first: ignored · second: force, 130
 * SIGQUIT    begin, quick     hurry
 * ```
 * @returns its undo.
 */
export function listenForSignals(
  host: ProcessLike,
  signals: readonly NodeJS.Signals[],
  actions: SignalActions,
): () => void {
  let interrupts = 0;
  const listener = asOwn((signal: NodeJS.Signals) => {
    if (signal === 'SIGINT') interrupts += 1;
    if (!actions.stopping()) actions.begin(signal);
    else if (signal === 'SIGQUIT') actions.hurry();
    else if (signal === 'SIGTERM' && actions.limit()) return;
    else if (signal !== 'SIGINT') actions.ignored(signal, 'the shutdown is under way');
    else if (interrupts >= 2) actions.force(130);
    else actions.ignored(signal, 'the shutdown is under way; once more ends it by force');
  });
  // One that is named twice is heard once.
  const names = new Set(signals);
  for (const signal of names) host.on(signal, listener);
  return () => {
    for (const signal of names) host.off(signal, listener);
  };
}
