import { EventEmitter } from 'node:events';
import type { ProcessLike } from '../process-like.js';
import { signalNumber } from '../reason.js';

/** A process for tests: takes signals without being killed, and exits without ending anything. */
export interface FakeProcess extends Omit<ProcessLike, 'exitCode'> {
  /** Calls its listeners as the real one would, now. Says whether there was any. */
  emit(event: string, ...args: unknown[]): boolean;
  /** Sends it a signal. Says whether anybody listens: if not, the real one would be dead. */
  kill(signal: NodeJS.Signals): boolean;
  listenerCount(event: string): number;
  /** The code of the first exit, `undefined` before. */
  exitCode: number | undefined;
  /** Resolves with the code of the first exit. */
  readonly exited: Promise<number>;
}

/** Makes a process for tests; pass it as the option `process` of a bus. */
export function createFakeProcess(
  options: { readonly pid?: number; readonly channel?: unknown } = {},
): FakeProcess {
  const events = new EventEmitter();
  let exitCode: number | undefined;
  let announce!: (code: number) => void;
  const exited = new Promise<number>((resolve) => {
    announce = resolve;
  });
  return {
    pid: options.pid ?? 4242,
    channel: options.channel,
    on: (event, listener) => events.on(event, listener),
    off: (event, listener) => events.off(event, listener),
    emit: (event, ...args) => events.emit(event, ...args),
    kill: (signal) => events.emit(signal, signal, signalNumber(signal)),
    listenerCount: (event) => events.listenerCount(event),
    exit: (code) => {
      if (exitCode !== undefined) return;
      exitCode = code;
      events.emit('exit', code);
      announce(code);
    },
    get exitCode() {
      return exitCode;
    },
    set exitCode(code) {
      exitCode = code;
    },
    exited,
  };
}
