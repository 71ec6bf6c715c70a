/** The parts of `process` that a bus uses; the real one, or a test's. */
export interface ProcessLike {
  readonly pid: number;
  // biome-ignore lint/suspicious/noExplicitAny: every event of a process has arguments of its own
  on(event: string, listener: (...args: any[]) => void): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: the same listener as above
  off(event: string, listener: (...args: any[]) => void): unknown;
  exit(code: number): void;
  /** What an exit without a code ends with. */
  exitCode?: number | string | null | undefined;
  /** Flushed before the exit. */
  readonly stdout?: NodeJS.WritableStream;
  readonly stderr?: NodeJS.WritableStream;
  /** There when the process has an IPC channel. */
  readonly channel?: unknown;
}
