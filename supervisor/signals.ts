import type { SuperviseSettings } from './options.js';

/** What signals do to a primary, besides those that end it. */
export interface SignalledSupervisor {
  reload(): void;
  /** By so many workers. */
  scaleBy(workers: number): void;
  stopUnhurried(signal: NodeJS.Signals): void;
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
  // Windows knows hardly any of them.
  const installed = listeners.filter(([signal, listener]) => install(signal, listener));
  return () => {
    for (const [signal, listener] of installed) process.off(signal, listener);
  };
}

function install(signal: NodeJS.Signals, listener: () => void): boolean {
  try {
    process.on(signal, listener);
    return true;
  } catch {
    return false;
  }
}

function isOnTerminal(): boolean {
  return [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY);
}
