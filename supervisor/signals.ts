import { asOwn } from '../src/triggers/own-listener.js';
import type { SuperviseSettings } from './options.js';

/** What signals do to a primary, besides those that end it. */
export interface SignalledSupervisor {
  reload(): void;
  /** By so many workers. */
  scaleBy(workers: number): void;
  stopUnhurried(signal: NodeJS.Signals): void;
  /** Whether a stop is under way: none of them has any effect then. */
  isStopping(): boolean;
  ignored(signal: NodeJS.Signals): void;
}

/** Those that mean something to a primary and would end or suspend a worker that gets them with it, as one of the group. */
export function signalsOfPrimary({ reloadSignals, unhurriedSignals }: SuperviseSettings): NodeJS.Signals[] {
  return [...reloadSignals, 'SIGTTIN', 'SIGTTOU', ...unhurriedSignals];
}

/**
 * ```
 * SIGHUP, SIGUSR2   a rolling reload
 * SIGTTIN, SIGTTOU  one worker more, one less
 * SIGWINCH          a stop without a limit but the fail-safe; on a terminal it says that the window has changed: nothing
 * ```
 * @returns its undo.
 */
export function listenToSignals(
  { reloadSignals, unhurriedSignals }: SuperviseSettings,
  supervisor: SignalledSupervisor,
): () => void {
  const reload = () => supervisor.reload();
  const listeners: [NodeJS.Signals, () => void][] = [
    ...reloadSignals.map((signal): [NodeJS.Signals, () => void] => [signal, reload]),
    ['SIGTTIN', () => supervisor.scaleBy(1)],
    ['SIGTTOU', () => supervisor.scaleBy(-1)],
    ...unhurriedSignals
      .filter((signal) => signal !== 'SIGWINCH' || !isOnTerminal())
      .map((signal): [NodeJS.Signals, () => void] => [signal, () => supervisor.stopUnhurried(signal)]),
  ];
  const installed = listeners
    .map(([signal, act]): [NodeJS.Signals, () => void] => [
      signal,
      () => (supervisor.isStopping() ? supervisor.ignored(signal) : act()),
    ])
    .filter(([signal, listener]) => install(signal, listener));
  return () => {
    for (const [signal, listener] of installed) process.off(signal, listener);
  };
}

/** @returns whether it could be: Windows knows hardly any of them. */
export function install(signal: NodeJS.Signals, listener: () => void): boolean {
  try {
    process.on(signal, asOwn(listener));
    return true;
  } catch {
    return false;
  }
}

function isOnTerminal(): boolean {
  return [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY);
}
