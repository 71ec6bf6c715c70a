import type { ChildProcess } from 'node:child_process';
import type { Clock } from '../src/clock.js';
import { checkMs } from '../src/config/checks.js';
import { messageOf, ShutdownError } from '../src/errors.js';
import { type Logger, loggerOf } from '../src/logger.js';
import { GroupEnd } from './group-end.js';
import { type Guard, guardOf, type Ward } from './guard.js';
import type { ChildSettings } from './options.js';
import { type StopOrder, StopPlan } from './stop-plan.js';

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
  readonly #plan: StopPlan;
  #ending: ChildEnding | undefined;
  #state: ChildState = 'running';
  #askedAt: number | undefined;
  /** Whom SIGKILL met: `others` are those of its group that it has left behind. */
  #killed: 'child' | 'others' | undefined;
  #isReleased = false;
  #isGroup: boolean;
  #stopped: Promise<void> | undefined;

  /** @internal */
  constructor(child: ChildProcess, settings: ChildSettings) {
    this.process = child;
    this.name = settings.name;
    this.#settings = settings;
    this.#isGroup = settings.group;
    this.#clock = settings.bus.config.clock;
    this.#plan = new StopPlan(this.#clock);
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
   * Asks the child to end and sees to it that it does: signal, `timeoutMs`, SIGKILL. Called again, also by the shutdown, it joins the
   * first call, and the shortest time counts.
   * @returns how it ended; of a released child, whenever that is.
   * @throws {ShutdownError} `INVALID_OPTION`.
   */
  stop({ timeoutMs = this.#settings.timeoutMs }: { readonly timeoutMs?: number } = {}): Promise<ChildEnding> {
    const problem = checkMs('timeoutMs', timeoutMs);
    if (problem !== undefined) throw new ShutdownError('INVALID_OPTION', `child "${this.name}": ${problem}`);
    void this.end({ timeoutMs });
    return this.ended;
  }

  /** Takes the child out of the service's hands: nobody ends it any more, a stop under way is called off. Safe to call twice. */
  release(): void {
    this.#isReleased = true;
    this.#plan.wake();
    this.#groupEnd.expect(false);
    if (this.pid !== undefined) this.#guard?.forget(this.pid);
    for (const undo of this.#undo.splice(0)) undo();
  }

  [Symbol.dispose](): void {
    this.release();
  }

  /** @internal Resolves when it has ended, or is released. */
  end(order: StopOrder): Promise<void> {
    if (this.#isReleased) return Promise.resolve();
    this.#plan.order(order);
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** @internal Ends it now. */
  kill(): void {
    if (this.#isReleased) return;
    this.#askedAt ??= this.#clock.now();
    this.#killed ??= this.#hasExited ? 'others' : 'child';
    this.#send('SIGKILL');
    this.#groupEnd.expect(true);
  }

  /** @internal Called when the child has ended, or is released. */
  onRelease(undo: () => void): void {
    this.#undo.push(undo);
  }

  /** @internal What the report says of it. */
  details(): Readonly<Record<string, unknown>> {
    const { signal, timeoutMs } = this.#settings;
    const group = this.#isGroup;
    return { pid: this.pid, state: this.#state, signal, timeoutMs, ...(group && { group }), ...this.#ending };
  }

  async #stop(): Promise<void> {
    const { signal } = this.#settings;
    const gone = new Promise<void>((resolve) => this.onRelease(resolve));
    this.#state = 'stopping';
    const askedAt = this.#plan.beganAt as number;
    this.#askedAt = askedAt;
    this.#groupEnd.expect(true);
    if (this.#plan.askInMs > 0) await this.#restUntil('askInMs', signal);
    this.#send(signal);
    await this.#restUntil('killInMs', undefined);
    // An event loop that was blocked has both to tell: that the time is over, and that the child has ended in it.
    await pollTurn();
    if (!this.#isReleased) {
      const ms = Math.round(this.#plan.killAt - askedAt);
      this.#log.warn(`child ${this.#label} did not end in ${ms} ms after ${signal}: SIGKILL`);
      this.kill();
    }
    await gone;
  }

  /** @param signal what the guard has still to send, should this process be killed meanwhile. */
  async #restUntil(moment: 'askInMs' | 'killInMs', signal: NodeJS.Signals | undefined): Promise<void> {
    while (!this.#isReleased && this.#plan[moment] > 0) {
      this.#watch({ signal, timeoutMs: this.#plan.killInMs });
      await this.#plan.rest(this.#plan[moment]);
    }
  }

  async #awaitEnd(): Promise<ChildEnding> {
    const { code, signal, error } = await exitOf(this.process);
    if (error) this.#log.error(`child "${this.name}" could not be started: ${messageOf(error)}`);
    const { pid } = this;
    if (this.#isGroup && pid !== undefined) await this.#groupEnd.of(pid);
    const tookMs = this.#askedAt === undefined ? 0 : Math.round(this.#clock.now() - this.#askedAt);
    // SIGKILL may have come when the child had ended in time, and nobody had told us yet.
    const isKilled = this.#killed === 'others' || (this.#killed === 'child' && signal === 'SIGKILL');
    const by = isKilled ? 'killed' : this.#askedAt === undefined ? 'itself' : 'asked';
    return Object.freeze({ code, signal, by, tookMs });
  }

  /** The guard ends it when this process is killed. */
  #watch({ signal, timeoutMs }: Pick<Ward, 'signal' | 'timeoutMs'> = this.#settings): void {
    const { pid } = this;
    if (pid !== undefined) this.#guard?.watch({ pid, group: this.#isGroup, signal, timeoutMs });
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
    if (pid === undefined || this.#isReleased) return;
    try {
      if (this.#isGroup) process.kill(-pid, signal);
      else this.process.kill(signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH')
        this.#log.warn(`${signal} could not be sent to child ${this.#label}: ${String(error)}`);
      // Else it has ended meanwhile, or there is no such group.
      else if (this.#isGroup && !this.#hasExited) this.#sendAlone(pid, signal);
    }
  }

  /** Without /proc nobody could tell before that it leads no group. */
  #sendAlone(pid: number, signal: NodeJS.Signals): void {
    this.#log.warn(
      `child ${this.#label} leads no process group: ${signal} goes to it alone; start it with { detached: true }`,
    );
    this.#guard?.forget(pid);
    this.#isGroup = false;
    this.#send(signal);
  }

  get #hasExited(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  get #label(): string {
    return `"${this.name}" (pid ${this.pid})`;
  }
}

/** Resolves when the operating system was asked once what has happened. */
const pollTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

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
