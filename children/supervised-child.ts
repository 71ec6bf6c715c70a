import type { ChildProcess } from 'node:child_process';
import { type Clock, sleep } from '../src/clock.js';
import { messageOf, ShutdownError } from '../src/errors.js';
import { type Logger, loggerOf } from '../src/logger.js';
import { GroupEnd } from './group-end.js';
import { type Guard, guardOf, type Ward } from './guard.js';
import { type ChildSettings, checkTimeout } from './options.js';

/** Where a child is in its life: `stopping` from the signal that asks it to end. */
export type ChildState = 'running' | 'stopping' | 'ended';

/** How a child ended. */
export interface ChildEnding {
  /** Its exit code; `null` when a signal ended it. */
  readonly code: number | null;
  /** The signal that ended it. */
  readonly signal: NodeJS.Signals | null;
  /** `'itself'`: nobody had asked it to. `'asked'`: after the signal, in its time. `'killed'`: by SIGKILL, its time was over. */
  readonly by: 'itself' | 'asked' | 'killed';
  /** Milliseconds from the signal that asked it to end; 0 when nobody had. */
  readonly tookMs: number;
}

/** How a child is ended. */
export interface StopOrder {
  /** Milliseconds until SIGKILL. */
  readonly timeoutMs: number;
  /** Somebody else has sent the signal already. */
  readonly signalled?: boolean;
}

/** The part of its time after which a child that somebody else was to signal gets the signal all the same. */
const DOUBT = 0.75;

/** A child process that ends with the service. Disposing it takes it out of the service's hands; it goes on. */
export class SupervisedChild implements Disposable {
  /** The process itself. */
  readonly process: ChildProcess;
  readonly name: string;
  /** Resolves when the child has ended, and in a group everybody else of it. */
  readonly ended: Promise<ChildEnding>;
  readonly #settings: ChildSettings;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #guard: Guard | undefined;
  readonly #undo: (() => void)[] = [];
  readonly #groupEnd = new GroupEnd();
  #ending: ChildEnding | undefined;
  #state: ChildState = 'running';
  #askedAt: number | undefined;
  #killed = false;
  #stopped: Promise<ChildEnding> | undefined;

  /** @internal */
  constructor(child: ChildProcess, settings: ChildSettings) {
    this.process = child;
    this.name = settings.name;
    this.#settings = settings;
    this.#clock = settings.bus.config.clock;
    this.#log = loggerOf(settings.bus);
    this.#guard = settings.mayOutlive ? undefined : guardOf(this.#log);
    this.#watch();
    this.ended = this.#awaitEnd();
    void this.ended.then((ending) => this.#close(ending));
  }

  /** `undefined` when it could not be started. */
  get pid(): number | undefined {
    return this.process.pid;
  }

  get state(): ChildState {
    return this.#state;
  }

  /**
   * Asks the child to end and sees to it that it does: signal, `timeoutMs`, SIGKILL. Called again it joins the first call.
   * @returns how it ended.
   * @throws {ShutdownError} `INVALID_OPTION`.
   */
  stop({ timeoutMs = this.#settings.timeoutMs }: { readonly timeoutMs?: number } = {}): Promise<ChildEnding> {
    const problem = checkTimeout(timeoutMs);
    if (problem !== undefined) throw new ShutdownError('INVALID_OPTION', `child "${this.name}": ${problem}`);
    return this.end({ timeoutMs });
  }

  /** Takes the child out of the service's hands: nobody ends it any more. Safe to call twice. */
  release(): void {
    if (this.pid !== undefined) this.#guard?.forget(this.pid);
    for (const undo of this.#undo.splice(0)) undo();
  }

  [Symbol.dispose](): void {
    this.release();
  }

  /** @internal */
  end(order: StopOrder): Promise<ChildEnding> {
    this.#stopped ??= this.#stop(order);
    return this.#stopped;
  }

  /** @internal Ends it now. */
  kill(): void {
    if (this.#state === 'ended') return;
    this.#askedAt ??= this.#clock.now();
    this.#killed = true;
    this.#send('SIGKILL');
    this.#groupEnd.expect(true);
  }

  /** @internal Called when the child has ended, or is released. */
  onRelease(undo: () => void): void {
    this.#undo.push(undo);
  }

  /** @internal What the report says of it. */
  details(): Readonly<Record<string, unknown>> {
    const { signal, timeoutMs, group } = this.#settings;
    return { pid: this.pid, state: this.#state, signal, timeoutMs, ...(group && { group }), ...this.#ending };
  }

  async #stop({ timeoutMs, signalled = false }: StopOrder): Promise<ChildEnding> {
    if (this.#state === 'ended') return this.ended;
    const { signal } = this.#settings;
    this.#state = 'stopping';
    this.#askedAt = this.#clock.now();
    this.#watch({ signal: undefined, timeoutMs });
    this.#groupEnd.expect(true);
    const over = new AbortController();
    const ended = this.ended.finally(() => over.abort());
    if (signalled) await sleep(this.#clock, timeoutMs * DOUBT, over.signal);
    if (!over.signal.aborted) this.#send(signal);
    await sleep(this.#clock, this.#askedAt + timeoutMs - this.#clock.now(), over.signal);
    if (!over.signal.aborted) {
      this.#log.warn(
        `child ${this.#label} did not end in ${Math.round(timeoutMs)} ms after ${signal}: SIGKILL`,
      );
      this.kill();
    }
    return ended;
  }

  async #awaitEnd(): Promise<ChildEnding> {
    const { code, signal, error } = await exitOf(this.process);
    if (error) this.#log.error(`child "${this.name}" could not be started: ${messageOf(error)}`);
    const { pid } = this;
    if (this.#settings.group && pid !== undefined) await this.#groupEnd.of(pid);
    const tookMs = this.#askedAt === undefined ? 0 : Math.round(this.#clock.now() - this.#askedAt);
    const by = this.#killed ? 'killed' : this.#askedAt === undefined ? 'itself' : 'asked';
    return Object.freeze({ code, signal, by, tookMs });
  }

  /** The guard ends it when this process is killed. */
  #watch({ signal, timeoutMs }: Pick<Ward, 'signal' | 'timeoutMs'> = this.#settings): void {
    const { pid } = this;
    if (pid !== undefined) this.#guard?.watch({ pid, group: this.#settings.group, signal, timeoutMs });
  }

  #close(ending: ChildEnding): void {
    this.#state = 'ended';
    this.#ending = ending;
    this.release();
    if (this.pid === undefined) return;
    const how = ending.signal ?? `exit code ${ending.code}`;
    if (ending.by === 'itself')
      this.#log[ending.code === 0 ? 'info' : 'warn'](`child ${this.#label} ended by itself: ${how}`);
    else this.#log.info(`child ${this.#label} ended after ${ending.tookMs} ms: ${how}`);
  }

  #send(signal: NodeJS.Signals): void {
    const { pid } = this;
    if (pid === undefined) return;
    try {
      if (this.#settings.group) process.kill(-pid, signal);
      else this.process.kill(signal);
    } catch (error) {
      // Ended meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH')
        this.#log.warn(`${signal} could not be sent to child ${this.#label}: ${String(error)}`);
    }
  }

  get #label(): string {
    return `"${this.name}" (pid ${this.pid})`;
  }
}

interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** It could not be started. */
  readonly error?: Error;
}

function exitOf(child: ChildProcess): Promise<Exit> {
  const { exitCode, signalCode } = child;
  if (exitCode !== null || signalCode !== null)
    return Promise.resolve({ code: exitCode, signal: signalCode });
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.on('error', (error) => {
      if (child.pid === undefined) resolve({ code: null, signal: null, error });
    });
  });
}
