import { sleep, systemClock } from '../../src/clock.js';
import { messageOf } from '../../src/errors.js';
import type { Logger } from '../../src/index.js';
import type { BlockedReport } from '../blocked-stack/memory.js';
import type { WorkerEnding, WorkerView } from '../events.js';
import type { EndOrder } from '../messages.js';
import type { SuperviseSettings } from '../options.js';
import { BackOff } from './back-off.js';
import { WorkerProcess } from './worker-process.js';

/** What the crew tells its supervisor. */
export interface CrewListener {
  started(worker: WorkerView): void;
  ready(worker: WorkerView): void;
  worn(worker: WorkerProcess, why: string): void;
  blocked(worker: WorkerView, report: BlockedReport): void;
  silent(worker: WorkerView, silentMs: number, signal: NodeJS.Signals): void;
  ended(ending: WorkerEnding, worker: WorkerProcess): void;
  /** Worker after worker has died at its start, and none was ever ready: no use in going on. */
  hopeless(): void;
}

export interface CrewParts {
  readonly settings: SuperviseSettings;
  /** Environment of each worker. */
  readonly env: NodeJS.ProcessEnv;
  /** Milliseconds from the signal that asks a worker to end to SIGKILL. */
  readonly endMs: number;
  readonly log: Logger;
  /** Of lines that workers write in the name of the supervisor. */
  readonly logPrefix: string;
  readonly listener: CrewListener;
}

/** A signal to the whole group is the primary's business as well: so long it may take to hear of it. */
const GROUP_MS = 50;

const SERVERLESS =
  "; no server of it listens; for a program without one: ready 'started' (--ready started), or process.send('ready')";

/** So many in a row, before any was ever ready. */
const MOST_STILLBORN = 5;

/** The workers: as many as are wanted, one started for each that dies. */
export class Crew {
  readonly #parts: CrewParts;
  readonly #workers = new Map<number, WorkerProcess>();
  readonly #backOff = new BackOff();
  /** Those whose place was taken before their end. */
  readonly #replaced = new WeakSet<WorkerProcess>();
  #wanted = 0;
  #isClosed = false;
  #hasBeenReady = false;
  #stillborn = 0;
  /** The highest exit code in the stop. */
  #exitCode = 0;

  constructor(parts: CrewParts) {
    this.#parts = parts;
  }

  /** All that have not ended, the oldest first. */
  get all(): readonly WorkerProcess[] {
    return [...this.#workers.values()];
  }

  /** Those that serve, or will. */
  get serving(): readonly WorkerProcess[] {
    return this.all.filter(({ state }) => state === 'starting' || state === 'ready');
  }

  get wanted(): number {
    return this.#wanted;
  }

  /** What the service ends with: 1 for a worker that had to be killed. */
  get exitCode(): number {
    return this.#exitCode;
  }

  /** So many from now on; those that are too many are asked to end, the youngest first. */
  scale(workers: number): void {
    this.#wanted = workers;
    for (const worker of this.serving.slice(workers)) void this.end(worker, ORDINARY_END);
    this.fill();
  }

  /** One more, whatever is wanted: the successor of one that is still there. */
  start(): WorkerProcess {
    const { settings, env, listener, log, endMs, logPrefix } = this.#parts;
    const worker = new WorkerProcess(
      settings,
      {
        ready: (one) => {
          this.#hasBeenReady = true;
          log.info(`worker ${labelOf(one)} is ready`);
          listener.ready(one.view);
        },
        worn: listener.worn,
        leaving: (one) => void this.#leaving(one),
        closed: () => this.#lookWhoHasClosed(),
        blocked: (one, report) => listener.blocked(one.view, report),
        silent: (one, silentMs, signal) => this.#silent(one, silentMs, signal),
        ended: (one, code, signal) => this.#ended(one, code, signal),
      },
      env,
      { endMs, logPrefix },
    );
    this.#workers.set(worker.id, worker);
    listener.started(worker.view);
    return worker;
  }

  /** Asks one worker to end, and sees to it. */
  async end(worker: WorkerProcess, order: Omit<EndOrder, 'type'>): Promise<void> {
    worker.order(order);
    // Another one may have died while its successor was starting.
    this.fill();
    await this.#killAfter(order.budgetMs ?? this.#parts.endMs, [worker]);
  }

  /** Starts nobody any more, and asks all that are left to end: within `ms`. */
  async endAll(ask: (worker: WorkerProcess) => void, ms: number, signal: AbortSignal): Promise<void> {
    this.#isClosed = true;
    const workers = this.all;
    for (const worker of workers) ask(worker);
    await this.#killAfter(ms, workers, signal);
  }

  /** Resolves when none is left. */
  async ended(): Promise<void> {
    await Promise.all(this.all.map((worker) => worker.ended));
  }

  /** In a stop of all. */
  #lookWhoHasClosed(): void {
    if (!this.#isClosed || !this.all.every(({ hasClosed }) => hasClosed)) return;
    for (const worker of this.all) worker.allClosed();
  }

  async #killAfter(ms: number, workers: readonly WorkerProcess[], signal?: AbortSignal): Promise<void> {
    const over = new AbortController();
    const ended = Promise.all(workers.map((worker) => worker.ended)).then(() => over.abort());
    await sleep(systemClock, ms, signal ? AbortSignal.any([over.signal, signal]) : over.signal);
    for (const worker of over.signal.aborted ? [] : workers) {
      if (worker.state === 'ended') continue;
      this.#parts.log.warn(`worker ${labelOf(worker)} did not end in its time: SIGKILL`);
      worker.signal('SIGKILL');
    }
    await ended;
  }

  /** Starts those that are missing, without a pause. @returns them. */
  fill(): WorkerProcess[] {
    const started: WorkerProcess[] = [];
    while (!this.#isClosed && this.serving.length < this.#wanted) {
      try {
        started.push(this.start());
      } catch (error) {
        // Too many processes, or open files: that may pass.
        this.#parts.log.error(`a worker cannot be started: ${messageOf(error)}`);
        void this.#fillAfter(this.#backOff.next(0));
        break;
      }
    }
    return started;
  }

  /** It stops by itself: for lack of memory, say. Its successor need not wait until its last request is answered. */
  async #leaving(worker: WorkerProcess): Promise<void> {
    await sleep(systemClock, GROUP_MS);
    if (this.#isClosed || worker.state === 'ended') return;
    this.#parts.log.warn(`worker ${labelOf(worker)} stops by itself`);
    this.#replaced.add(worker);
    await this.#replace(worker);
  }

  #silent(worker: WorkerProcess, silentMs: number, signal: NodeJS.Signals): void {
    const isStarting = worker.state === 'starting';
    const what = isStarting ? 'is not ready' : 'gives no sign of life';
    const cure = isStarting && this.#parts.settings.ready === 'listening' ? SERVERLESS : '';
    this.#parts.log.warn(`worker ${labelOf(worker)} ${what} for ${silentMs} ms: ${signal}${cure}`);
    this.#parts.listener.silent(worker.view, silentMs, signal);
    // Its successor need not wait for its end.
    this.fill();
  }

  #ended(worker: WorkerProcess, code: number | null, signal: NodeJS.Signals | null): void {
    const { log, listener } = this.#parts;
    this.#workers.delete(worker.id);
    this.#lookWhoHasClosed();
    const unexpected = !worker.isAsked;
    // What became of one that was replaced earlier is history.
    if (this.#isClosed) this.#exitCode = Math.max(this.#exitCode, code ?? (isOrderly(signal) ? 0 : 1));
    const { failure } = worker;
    const how = `ended${unexpected ? ', unasked' : ''}: ${signal ?? `exit code ${code}`}`;
    if (failure) log.error(`worker ${worker.id} cannot be started: ${failure.message}`);
    else log[unexpected ? 'warn' : 'info'](`worker ${labelOf(worker)} ${how}`);
    listener.ended(Object.freeze({ ...worker.view, code, signal, unexpected }), worker);
    if (unexpected && !this.#replaced.has(worker)) void this.#replace(worker);
    else this.fill();
  }

  async #replace(worker: WorkerProcess): Promise<void> {
    if (!this.#hasBeenReady) {
      this.#stillborn += 1;
      if (this.#stillborn >= MOST_STILLBORN) {
        this.#isClosed = true;
        this.#exitCode = 1;
        this.#parts.listener.hopeless();
        return;
      }
    }
    const pauseMs = this.#backOff.next(worker.ageMs);
    if (pauseMs > 0)
      this.#parts.log.warn(`the next worker starts in ${Math.round(pauseMs)} ms: the last ones died young`);
    await this.#fillAfter(pauseMs);
  }

  async #fillAfter(ms: number): Promise<void> {
    await sleep(systemClock, ms);
    this.fill();
  }
}

/** As if SIGTERM had come, while others serve. */
export const ORDINARY_END: Omit<EndOrder, 'type'> = { signal: 'SIGTERM', isSucceeded: true };

/** A program without a handler of its own ends by what it was sent. */
function isOrderly(signal: NodeJS.Signals | null): boolean {
  return signal === 'SIGTERM' || signal === 'SIGQUIT' || signal === 'SIGINT';
}

export function labelOf({ id, pid }: WorkerProcess): string {
  return `${id} (pid ${pid})`;
}
