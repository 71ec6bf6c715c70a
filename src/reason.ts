import { messageOf } from './errors.js';

/** Why the process is ending. */
export type ShutdownReason =
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals }
  | {
      readonly kind: 'error';
      readonly origin: 'uncaughtException' | 'unhandledRejection';
      readonly error: unknown;
    }
  | { readonly kind: 'memory'; readonly usedBytes: number; readonly limitBytes: number }
  | { readonly kind: 'request'; readonly message?: string }
  /** The event loop ran empty while jobs were still open. */
  | { readonly kind: 'idle' }
  /** Only in envelopes written by a survivor: the owner died without speaking. */
  | { readonly kind: 'lost'; readonly detail: string };

/** The number of a signal on this machine, 0 for a name it does not know. */
export function signalNumber(signal: NodeJS.Signals): number {
  return process.getBuiltinModule('node:os').constants.signals[signal] ?? 0;
}

/** The reason in one word, as envelopes carry it: `SIGTERM`, `uncaughtException`, `memory`, `request`, `idle`, `lost`. */
export function reasonName(reason: ShutdownReason): string {
  if (reason.kind === 'signal') return reason.signal;
  if (reason.kind === 'error') return reason.origin;
  return reason.kind;
}

/** The reason with its facts, as log lines carry it: `SIGTERM (15)`, `uncaughtException: boom`. */
export function describeReason(reason: ShutdownReason): string {
  switch (reason.kind) {
    case 'signal':
      return `${reason.signal} (${signalNumber(reason.signal)})`;
    case 'error':
      return `${reason.origin}: ${messageOf(reason.error)}`;
    case 'memory':
      return `memory: ${reason.usedBytes} of ${reason.limitBytes} bytes in use`;
    case 'request':
      return reason.message === undefined ? 'request' : `request: ${reason.message}`;
    case 'idle':
      return 'idle: the event loop ran empty while jobs were open';
    case 'lost':
      return `lost: ${reason.detail}`;
  }
}

/** Whether the drain is left out: SIGQUIT asks for that, and SIGABRT says that SIGKILL follows. */
export function isQuick(reason: ShutdownReason): boolean {
  return reason.kind === 'signal' && (reason.signal === 'SIGQUIT' || reason.signal === 'SIGABRT');
}
