import type { NotifierSettings } from '../config/notifier-settings.js';
import type { StoreSettings } from '../config/store-settings.js';
import type { DeliveryMode } from '../delivery.js';
import type { NotifierReport } from '../report.js';

/**
 * The numbers that main thread, watchdog thread and voice share, by index. Shared memory: a blocked event loop passes no
 * messages on.
 */
export const WORD = {
  /** 0 armed, 1 disarmed. */
  state: 0,
  /** Whose turn it is to deliver, one of {@link TURN}. */
  turn: 1,
  /** Changes as long as the main thread gets on: with each round of its event loop, each envelope, each receipt. */
  beat: 2,
  /** When its event loop last came round, in milliseconds after `startedAt`. */
  beatAt: 3,
  /** How many jobs the voice has delivered. */
  voiced: 4,
  /** 1 while the handler that started last has not returned from its call. */
  inside: 5,
  /** Who writes last words to stderr, one of {@link FLOOR}. */
  floor: 6,
  /** 1 while the store fails: what it keeps counts for nothing. */
  doubt: 7,
  /** Changes as long as the voice lives and has the turn. */
  voiceBeat: 8,
  /** 1 from the deadline on, or when it was disarmed before. */
  due: 9,
} as const;

/** Who delivers. Changed by `Atomics.compareExchange`, so that two never begin together. */
export const TURN = { nobody: 0, main: 1, voice: 2, over: 3 } as const;

/** Two at a time would tear each other's lines. */
export const FLOOR = { nobody: 0, main: 1, thread: 2, over: 3 } as const;

/** What is known of a job, one byte each. At the deadline a job with none of them gets a line on stderr. */
export const FLAG = {
  /** Finished, or its report accepted. */
  settled: 1,
  /** Delivered by the voice. */
  voiced: 2,
  /** In a durable store: it needs no line, but the voice delivers it all the same. */
  kept: 4,
  /** Delivered by the voice, without its payload. */
  parted: 8,
} as const;

/** What the watchdog thread is given to work with. Times are those of {@link monotonicMs}. */
export interface WatchdogData {
  /** See {@link WORD}. */
  readonly words: SharedArrayBuffer;
  /** See {@link FLAG}; as many bytes as lines are expected. */
  readonly flags: SharedArrayBuffer;
  readonly startedAt: number;
  readonly dueAt: number;
  /** How its own lines begin. */
  readonly prefix: string;
  /** `undefined`: the notifiers are objects of the main thread and cannot be used from another one. */
  readonly voice: VoicePlan | undefined;
  /** One number: how many watchdogs of this process have not come to their deadline yet. */
  readonly undue: SharedArrayBuffer;
}

/** When the thread delivers in place of a blocked main thread, and how. Holds secrets. */
export interface VoicePlan {
  /** From here on the main thread should be delivering. */
  readonly speakAt: number;
  readonly endsAt: number;
  /** After so long without a beat the main thread counts as blocked. */
  readonly patienceMs: number;
  /** The same while it delivers. */
  readonly deliveringPatienceMs: number;
  readonly settings: readonly NotifierSettings[];
  readonly mode: DeliveryMode;
  /** The store that is to know what was delivered, where the environment names one. */
  readonly store: StoreSettings | undefined;
  /** For the SDKs. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** From the main thread: last words, a line each, or the handlers that are under way, in the order of their start. */
export type ToThread = string | { readonly handlers: readonly string[] };

/** Last words in UTF-8, each with its line feed; one copy for both threads. */
export interface Piece {
  readonly lines: SharedArrayBuffer;
  readonly count: number;
}

/** What the voice is started with. */
export interface VoiceData extends Pick<WatchdogData, 'words' | 'flags' | 'prefix'> {
  readonly plan: Omit<VoicePlan, 'env'>;
  readonly port: import('node:worker_threads').MessagePort;
}

/** The call to deliver. It is void when the main thread has got on since. */
export interface Call {
  readonly turn: number;
  readonly beat: number;
}

/** What became of a call: `void` when the main thread has got on meanwhile. */
export type Spoken = 'void' | readonly NotifierReport[];

/** What the thread did in place of a blocked event loop. */
export interface SpokenFor {
  readonly of: number;
  readonly delivered: number;
  readonly because: string;
  readonly notifiers: readonly NotifierReport[];
}

/** Milliseconds on a clock that all threads of a process share. */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}
