import { signalNumber } from '../reason.js';

/** The signals a bus listens to unless told otherwise. SIGQUIT is the quick one: no drain. */
export const DEFAULT_SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'];

// Signals that cannot be caught, and those the machine raises for a fault: no code may run after one of these.
const UNCATCHABLE = ['SIGKILL', 'SIGSTOP', 'SIGSEGV', 'SIGBUS', 'SIGFPE', 'SIGILL'];

/** Whether a listener for that signal can be installed and will be called. */
export function isCatchable(signal: string): boolean {
  return signalNumber(signal as NodeJS.Signals) > 0 && !UNCATCHABLE.includes(signal);
}

/** `M`, `MB`: thousands. `Mi`, `MiB`: 1024. */
const UNITS = ['', 'k', 'm', 'g', 't'];

/** Reads `90%` as a share of the limit that was found, `400MiB` as a limit of its own. `undefined` when it is neither. */
export function parseMemoryLimit(text: string | number): { share: number } | { bytes: number } | undefined {
  if (typeof text === 'number') return text >= 1 && Number.isFinite(text) ? { bytes: text } : undefined;
  const match = /^(\d+(?:\.\d+)?)\s*(?:(%)|([kmgt])(i?)b?)?$/i.exec(text.trim());
  const [, number, percent, unit = '', binary] = match ?? [];
  const value = Number(number);
  if (!(value > 0)) return undefined;
  if (percent) return value <= 100 ? { share: value / 100 } : undefined;
  return { bytes: value * (binary ? 1024 : 1000) ** UNITS.indexOf(unit.toLowerCase()) };
}

const SEGMENT =
  /^(?:\*|[\w$-]+|\[(?:\*|\d+|"[^"]+"|'[^']+')\])(?:\.(?:\*|[\w$-]+)|\[(?:\*|\d+|"[^"]+"|'[^']+')\])*$/;

/** Whether a text is a path that can be redacted. */
export function isRedactionPath(path: unknown): path is string {
  return typeof path === 'string' && SEGMENT.test(path);
}
