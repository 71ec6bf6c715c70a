import { signalNumber } from '../reason.js';

/** The signals a bus listens to unless told otherwise. SIGQUIT is the quick one: no drain. */
export const DEFAULT_SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'];

// Signals that cannot be caught, and those the machine raises for a fault: no code may run after one of these.
const UNCATCHABLE = ['SIGKILL', 'SIGSTOP', 'SIGSEGV', 'SIGBUS', 'SIGFPE', 'SIGILL'];

/** Whether a listener for that signal can be installed and will be called. */
export function isCatchable(signal: string): boolean {
  return signalNumber(signal as NodeJS.Signals) > 0 && !UNCATCHABLE.includes(signal);
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** Reads `90%` as a share of the limit that was found, `400MiB` as a limit of its own. `undefined` when it is neither. */
export function parseMemoryLimit(text: string | number): { share: number } | { bytes: number } | undefined {
  if (typeof text === 'number') return text > 0 && Number.isFinite(text) ? { bytes: text } : undefined;
  const match = /^(\d+(?:\.\d+)?)\s*(%|[kmg]i?b)?$/i.exec(text.trim());
  if (!match) return undefined;
  const value = Number(match[1]);
  const unit = (match[2] ?? '').toLowerCase();
  if (unit === '%') return value > 0 && value <= 100 ? { share: value / 100 } : undefined;
  return value > 0 ? { bytes: value * (UNITS[unit] ?? 1) } : undefined;
}

const SEGMENT =
  /^(?:\*|[\w$-]+|\[(?:\*|\d+|"[^"]+"|'[^']+')\])(?:\.(?:\*|[\w$-]+)|\[(?:\*|\d+|"[^"]+"|'[^']+')\])*$/;

/** Whether a text is a path that can be redacted. */
export function isRedactionPath(path: unknown): path is string {
  return typeof path === 'string' && SEGMENT.test(path);
}
