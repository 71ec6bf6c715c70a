import { Worker } from 'node:worker_threads';

/** How long after the deadline the thread acts: the main thread's own way out comes first. */
const GRACE_MS = 60;
/** So many lines, or characters, a message: a text can grow too long to be one. */
const LINES_A_MESSAGE = 1000;
const TEXT_A_MESSAGE = 2 ** 20;

/** What the thread is given to work with. Shared memory: a blocked event loop passes no messages on. */
export interface WatchdogData {
  /** [0]: 0 armed, 1 disarmed. */
  readonly state: SharedArrayBuffer;
  /** One byte a line: 1 when its job needs no last word any more. */
  readonly settled: SharedArrayBuffer;
  /** On `process.hrtime`, in milliseconds: the same for every thread. */
  readonly dueAt: number;
  /** How its own line begins. */
  readonly prefix: string;
}

/** A job whose last words the thread has, and under which number. */
export interface Held {
  heldAs: number | undefined;
}

/**
 * A thread beside the main thread: at the deadline it writes the lines of all jobs that are still open to stderr and
 * ends the process, even while a handler blocks the event loop.
 *
 * ```
 * main    ──hold(lines)──▶ queue      ──settle(id)──▶ shared flags      ──disarm()──▶ shared state
 * thread  sleeps in Atomics.wait … deadline: reads queue and flags, writes, kills
 * ```
 */
export class Watchdog {
  readonly #worker: Worker;
  readonly #state: Int32Array;
  readonly #settled: Uint8Array;
  #held = 0;

  /** @param jobs how many jobs are open, to size the flags. */
  constructor(remainingMs: number, jobs: number, prefix: string, onFailure: (error: unknown) => void) {
    const data: WatchdogData = {
      state: new SharedArrayBuffer(4),
      settled: new SharedArrayBuffer(jobs * 2 + 1024),
      dueAt: Number(process.hrtime.bigint()) / 1e6 + remainingMs + GRACE_MS,
      prefix,
    };
    this.#state = new Int32Array(data.state);
    this.#settled = new Uint8Array(data.settled);
    this.#worker = new Worker(new URL('./watchdog-thread.cjs', import.meta.url), {
      workerData: data,
      env: {},
      execArgv: [],
    });
    this.#worker.on('error', onFailure);
    this.#worker.unref();
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
        this.#worker.postMessage(batch.join('\n'));
        batch = [];
        length = 0;
      }
    }
    if (batch.length > 0) this.#worker.postMessage(batch.join('\n'));
  }

  /** This job was finished or reported. */
  settle({ heldAs }: Held): void {
    // Past the end of the flags: said twice is better than not at all.
    if (heldAs !== undefined && heldAs < this.#settled.length) this.#settled[heldAs] = 1;
  }

  /** The shutdown ended by itself. */
  disarm(): void {
    Atomics.store(this.#state, 0, 1);
    Atomics.notify(this.#state, 0);
  }
}
