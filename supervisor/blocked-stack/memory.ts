/** When a loop counts as blocked, and where that is said. */
export interface LoopWatchOptions {
  /** After so many milliseconds without a beat. More than {@link LoopWatchOptions.everyMs}, or an idle loop counts as blocked. */
  readonly afterMs: number;
  /** Milliseconds between two beats, and between two looks of the thread. */
  readonly everyMs: number;
  /**
   * A loop that is blocked for so many milliseconds is ended by SIGKILL once the parent of the process is gone: nobody else would. @default never
   */
  readonly abandonedMs?: number | undefined;
  /** How every line on stderr begins. */
  readonly prefix: string;
  /** Where a {@link LoopReport} goes as a line of JSON: an open file or pipe by its number, or a path. @default nowhere */
  readonly reportTo?: number | string | undefined;
}

/** The event loop is blocked. Of one that is blocked by native code there are two: when it is noticed, and when that came back. */
export interface BlockedReport {
  /** Since the last beat, by the looks taken: time in which the whole process was stopped does not count. */
  readonly blockedMs: number;
  /** As in `Error.stack`, without the first line: `    at work (/app/work.js:3:9)\n    at …`. */
  readonly stack?: string;
  /** Why there is no stack, or none earlier: what the main thread does meanwhile, as far as the kernel tells. */
  readonly native?: string;
}

/** A line of {@link LoopWatchOptions.reportTo}. `wentOnAfterMs`: it had only been slow. */
export type LoopReport = BlockedReport | { readonly wentOnAfterMs: number };

/** What the thread is given. */
export interface LoopWatchData extends LoopWatchOptions {
  /** See {@link WORD}. */
  readonly words: SharedArrayBuffer;
}

/** The numbers that both threads share, by index. */
export const WORD = {
  beat: 0,
  /** 1: the program wants source maps in its stacks. */
  sourceMaps: 1,
} as const;
