import { Worker } from 'node:worker_threads';
import { sleep, systemClock } from './clock.js';
import {
  FLAG,
  FLOOR,
  monotonicMs,
  type SpokenFor,
  type ToThread,
  TURN,
  type VoicePlan,
  type WatchdogData,
  WORD,
} from './watchdog/shared-memory.js';

/** How long after the deadline the thread acts: the main thread's own way out comes first. */
const GRACE_MS = 60;
/** So many lines, or characters, a message: a text can grow too long to be one. */
const LINES_A_MESSAGE = 1000;
const TEXT_A_MESSAGE = 2 ** 20;
/** The main thread's sign of life. */
const BEAT_MS = 20;
/** A voice that gave no sign of life for so long is dead or stuck, at most a third of the time left. */
const VOICE_SILENT_MS = 500;
/** How long what the voice says at its end may be on its way, at most a quarter of the time left. */
const RELAY_MS = 250;

/** The thread has the floor: it ends the process in less than this, in milliseconds. */
const THREAD_SPEAKS_MS = 5000;

// Shared by all copies of this package in one process: a bus with less time must not end one with more.
const UNDUE = Symbol.for('shutdown-bus.undue-watchdogs');

/** How many watchdogs of this process have not come to their deadline yet, in shared memory. */
function undueWatchdogs(): SharedArrayBuffer {
  const shared = globalThis as { [UNDUE]?: SharedArrayBuffer };
  shared[UNDUE] ??= new SharedArrayBuffer(4);
  return shared[UNDUE];
}

/** A job whose last words the thread has, and under which number. */
export interface Held {
  heldAs: number | undefined;
}

/** What a watchdog is made of. */
export interface WatchdogParts {
  readonly remainingMs: number;
  /** How many jobs are open, to size the flags. */
  readonly jobs: number;
  readonly prefix: string;
  readonly voice: VoicePlan | undefined;
  readonly failed: (error: unknown) => void;
  /** The thread delivered while the event loop was blocked. */
  readonly spoke: (spoken: SpokenFor) => void;
}

/**
 * A thread beside the main thread. While the event loop is blocked when reports are due, it has the open jobs reported; at
 * the deadline it writes the lines of those that are still open to stderr and ends the process.
 *
 * ```
 * main    ──hold(lines)──▶ queue      ──settle, beat──▶ shared memory      ──disarm()──▶ shared memory
 * thread  sleeps in Atomics.wait … reports are due: no beat? starts the voice … deadline: reads queue and flags, writes, kills
 * voice   another thread: notifiers and delivery; marks in the shared memory what was delivered
 * ```
 */
export class Watchdog {
  readonly #worker: Worker;
  readonly #words: Int32Array;
  readonly #flags: Uint8Array;
  readonly #undue: Int32Array;
  readonly #startedAt = monotonicMs();
  readonly #beating: NodeJS.Timeout;
  readonly #overtaken = new AbortController();
  readonly #ended = new AbortController();
  #spoken: SpokenFor | undefined = undefined;
  #delivering = false;
  #held = 0;

  constructor({ remainingMs, jobs, prefix, voice, failed, spoke }: WatchdogParts) {
    const data: WatchdogData = {
      words: new SharedArrayBuffer(4 * Object.keys(WORD).length),
      flags: new SharedArrayBuffer(jobs * 2 + 1024),
      startedAt: this.#startedAt,
      dueAt: this.#startedAt + remainingMs + GRACE_MS,
      prefix,
      voice,
      undue: undueWatchdogs(),
    };
    this.#undue = new Int32Array(data.undue);
    Atomics.add(this.#undue, 0, 1);
    this.#words = new Int32Array(data.words);
    this.#flags = new Uint8Array(data.flags);
    this.#worker = new Worker(new URL('./watchdog/thread.cjs', import.meta.url), {
      workerData: data,
      // Without NODE_OPTIONS: what it preloads has no business here.
      env: {},
      execArgv: [],
    });
    this.#worker.on('error', failed);
    this.#worker.on('exit', () => {
      this.#ended.abort();
      this.#leaveUndue();
    });
    this.#worker.on('message', (spoken: SpokenFor) => {
      this.#spoken = spoken;
      this.#ended.abort();
      spoke(spoken);
    });
    this.#worker.unref();
    this.#beating = setInterval(() => this.#comeRound(), BEAT_MS).unref();
  }

  /** Gives it the last words of jobs. */
  hold(lines: Iterable<readonly [job: Held, line: string]>): void {
    let batch: string[] = [];
    let length = 0;
    for (const [job, line] of lines) {
      job.heldAs = this.#held;
      this.#held += 1;
      length += line.length;
      if (batch.push(line) >= LINES_A_MESSAGE || length >= TEXT_A_MESSAGE) {
        this.#post(batch.join('\n'));
        batch = [];
        length = 0;
      }
    }
    if (batch.length > 0) this.#post(batch.join('\n'));
  }

  /** This job was finished or reported. */
  settle({ heldAs }: Held): void {
    this.beat();
    // Past the end of the flags: said twice is better than not at all.
    if (heldAs !== undefined && heldAs < this.#flags.length) Atomics.or(this.#flags, heldAs, FLAG.settled);
  }

  /** A durable store has this job's record. */
  keep({ heldAs }: Held): void {
    if (heldAs !== undefined && heldAs < this.#flags.length) Atomics.or(this.#flags, heldAs, FLAG.kept);
  }

  /** Whether what the store keeps cannot be relied on for now. */
  doubt(doubtful: boolean): void {
    Atomics.store(this.#words, WORD.doubt, doubtful ? 1 : 0);
  }

  /** The thread is delivering. */
  get speaking(): boolean {
    return Atomics.load(this.#words, WORD.turn) === TURN.voice;
  }

  /** The thread delivered this job's report. */
  hasVoiced({ heldAs }: Held): boolean {
    return heldAs !== undefined && ((this.#flags[heldAs] ?? 0) & FLAG.voiced) !== 0;
  }

  /** It was delivered without its payload. */
  hasVoicedPart({ heldAs }: Held): boolean {
    return heldAs !== undefined && ((this.#flags[heldAs] ?? 0) & FLAG.parted) !== 0;
  }

  /** The main thread gets on. */
  beat(): void {
    Atomics.add(this.#words, WORD.beat, 1);
  }

  /** Handlers under way, the last one perhaps about to be called. */
  running(handlers: readonly string[], inside: boolean): void {
    this.#comeRound();
    Atomics.store(this.#words, WORD.inside, inside ? 1 : 0);
    this.#post({ handlers });
  }

  /** The handler that was called has returned, with a promise perhaps. */
  returned(): void {
    Atomics.store(this.#words, WORD.inside, 0);
  }

  /** Takes the turn to deliver. A thread that is delivering may go on until it has ended, which is before our time is up. */
  async takeTurn(remainingMs: () => number): Promise<SpokenFor | undefined> {
    const words = this.#words;
    while (Atomics.compareExchange(words, WORD.turn, TURN.nobody, TURN.main) === TURN.voice) {
      const before = Atomics.load(words, WORD.voiceBeat);
      await sleep(systemClock, Math.min(VOICE_SILENT_MS, remainingMs() / 3), this.#ended.signal);
      if (Atomics.load(words, WORD.voiceBeat) === before)
        Atomics.compareExchange(words, WORD.turn, TURN.voice, TURN.main);
    }
    this.#delivering = true;
    const relayMs = Math.min(RELAY_MS, remainingMs() / 4);
    if (Atomics.load(words, WORD.voiced) > 0) await sleep(systemClock, relayMs, this.#ended.signal);
    return this.#spoken;
  }

  /** Aborts when the thread took the turn away, because the main thread was blocked in the middle of its delivery. */
  get overtaken(): AbortSignal {
    return this.#overtaken.signal;
  }

  /** Nobody delivers any more. */
  endTurn(): void {
    this.#delivering = false;
    Atomics.store(this.#words, WORD.turn, TURN.over);
  }

  /**
   * Takes the floor: as long as the main thread has it, the thread writes nothing and lets the process live. `false`: the
   * thread has it; comes back only if that does not end the process.
   */
  takeFloor(): boolean {
    const before = Atomics.compareExchange(this.#words, WORD.floor, FLOOR.nobody, FLOOR.main);
    // An exit would cut off what the thread writes.
    if (before === FLOOR.thread) Atomics.wait(this.#words, WORD.floor, FLOOR.thread, THREAD_SPEAKS_MS);
    return before !== FLOOR.thread;
  }

  /** The main thread has said everything: nobody needs to say it again. */
  leaveFloor(): void {
    Atomics.store(this.#words, WORD.floor, FLOOR.over);
    Atomics.notify(this.#words, WORD.floor);
  }

  /** The shutdown ended by itself. */
  disarm(): void {
    clearInterval(this.#beating);
    this.#leaveUndue();
    Atomics.store(this.#words, WORD.state, 1);
    Atomics.notify(this.#words, WORD.state);
  }

  /** The other watchdogs need not wait for this one. */
  #leaveUndue(): void {
    if (Atomics.exchange(this.#words, WORD.due, 1) === 0) Atomics.sub(this.#undue, 0, 1);
  }

  #post(message: ToThread): void {
    this.#worker.postMessage(message);
  }

  #comeRound(): void {
    this.beat();
    Atomics.store(this.#words, WORD.beatAt, Math.round(monotonicMs() - this.#startedAt));
    // The thread has it, or has had it and is done.
    if (this.#delivering && Atomics.load(this.#words, WORD.turn) !== TURN.main) this.#overtaken.abort();
  }
}
