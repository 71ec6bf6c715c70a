import { resolveConfig, type ShutdownBusOptions, type ShutdownConfig } from './config.js';
import { Reporter, type ReporterHost } from './delivery/reporter.js';
import { Ending, type EndingHost, type ShutdownState } from './ending.js';
import { messageOf, ShutdownError, toError } from './errors.js';
import type { ShutdownEvents } from './events.js';
import type { JobRegistry } from './jobs/job.js';
import type { JobHandle } from './jobs/job-handle.js';
import { OpenJobs } from './jobs/registry.js';
import { createInstanceLogger, type Logger } from './logger.js';
import { ObservedEmitter } from './observers.js';
import { isIdleOwnCode } from './own-code.js';
import { PHASE_PRIORITY, type ShutdownHandler, type SubscribeOptions, type Subscriber } from './phases.js';
import type { ShutdownReason } from './reason.js';
import type { ShutdownReport } from './report.js';
import { type OrphanSearch, Safekeeping, type SafekeepingHost } from './safekeeping.js';
import { leftForDrain } from './shutdown/reserves.js';
import { createSubscriber } from './shutdown/subscriber.js';
import type { Guilt } from './shutdown.js';
import { FatalErrors } from './triggers/fatal-errors.js';
import { installTriggers } from './triggers/index.js';
import type { Others } from './triggers/own-listener.js';

/** Undoes a subscription: call it, or dispose it. Safe to call twice. */
export type Subscription = (() => void) & Disposable;

const MOST_ERRORS = 100;

/** Nobody has a budget of fewer milliseconds, but many have one of so many seconds. */
const SECONDS_PERHAPS = 100;

/**
 * Everything about one process's end: who wants to be told, which jobs are open, and the one run when it comes.
 * Its events are for watching only; see {@link ShutdownEvents}.
 */
export class ShutdownBus extends ObservedEmitter<ShutdownEvents> implements Disposable {
  /** 12 hex digits, new for each bus; in every log line and envelope. */
  readonly instanceId = Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString('hex');
  /** The open jobs. */
  readonly jobs: JobRegistry;
  /** Every setting with its value. */
  readonly config: ShutdownConfig;
  readonly #log: Logger;
  readonly #registry: OpenJobs;
  readonly #reporter: Reporter;
  readonly #safekeeping: Safekeeping | undefined;
  readonly #ending: Ending;
  readonly #subscribers = new Set<Subscriber>();
  readonly #errors: Error[] = [];
  /** Listeners of an application that knows nothing of this bus. */
  #others: Others | undefined = undefined;
  #fatalErrors: FatalErrors | undefined = undefined;
  #guilt: () => Guilt | undefined = () => undefined;
  #uninstall: (() => void) | undefined = undefined;
  #disposed = false;

  /** @throws {ShutdownError} `INVALID_OPTION` or `INVALID_ENVIRONMENT`: all that is wrong at once. */
  constructor(options: ShutdownBusOptions = {}) {
    super((event, error) => this.#note(`an observer of "${event}" failed`, error));
    this.config = resolveConfig(options);
    const { config, instanceId } = this;
    this.#log = createInstanceLogger(config.logger, config.service, instanceId);
    this.#safekeeping = config.store && new Safekeeping(config.store, this.#safekeepingHost());
    this.#registry = new OpenJobs(config.clock, this.#jobListener(), this.#safekeeping?.keeper);
    this.jobs = this.#registry;
    this.#reporter = new Reporter(this.#reporterHost());
    this.#ending = new Ending(this.#endingHost());
    this.#install(options);
  }

  /** `running` until the first trigger, `stopped` when the report is there. */
  get state(): ShutdownState {
    return this.#ending.state;
  }

  /** Whether this process should get new work: what a readiness probe asks. */
  get ready(): boolean {
    return this.state === 'running';
  }

  /**
   * Whether jobs are held in memory only although a durable store was asked for: it failed, and is tried again at each heartbeat.
   * The service goes on; a readiness probe says so.
   */
  get degraded(): boolean {
    return this.#safekeeping?.keeper.degraded !== undefined;
  }

  /**
   * Calls `handler` when the shutdown comes, in its phase, within its share of the budget.
   * @returns its undo.
   * @throws {ShutdownError} `HANDLER_UNNAMED`, `INVALID_OPTION`, `BUS_DISPOSED`; `PHASE_PAST` during a shutdown that is
   * already beyond that priority.
   */
  subscribeShutdown(handler: ShutdownHandler, options: SubscribeOptions = {}): Subscription {
    if (this.#disposed)
      throw new ShutdownError('BUS_DISPOSED', 'this bus was disposed and runs no handlers any more');
    const subscriber = createSubscriber(handler, options);
    this.#refusePastPhase(subscriber);
    this.#warnOfGreed(subscriber);
    this.#subscribers.add(subscriber);
    const unsubscribe = () => void this.#subscribers.delete(subscriber);
    return Object.assign(unsubscribe, { [Symbol.dispose]: unsubscribe });
  }

  /**
   * Begins the shutdown, or joins the one under way: the first trigger wins and all get the same report.
   * Never rejects.
   */
  requestShutdown(message?: string): Promise<ShutdownReport> {
    return this.#ending.begin({ kind: 'request', ...(message !== undefined && { message }) });
  }

  /**
   * @internal The same within another budget than that of `config`; what it has more is the drain's. Without effect once a shutdown has
   * begun.
   * @param isAnnounced the signal of `reason` is still to come, for those who listen for it besides this bus.
   */
  requestShutdownWithin(
    budgetMs: number,
    reason: ShutdownReason,
    isAnnounced = false,
  ): Promise<ShutdownReport> {
    return this.#ending.beginWithin(budgetMs, reason, isAnnounced);
  }

  /** @internal Gives a shutdown without haste the usual time from now on. */
  limitHaste(): void {
    this.#ending.haste.limit();
  }

  /** @internal Whether the shutdown under way has more time than usual: nothing is cut off by a limit of its own. */
  get isUnhurried(): boolean {
    return this.#ending.haste.isUnhurried;
  }

  /** @internal Of the shutdown under way: every step with this priority or a higher one has begun. */
  get cursor(): number {
    return this.#ending.run?.cursor ?? Number.POSITIVE_INFINITY;
  }

  /**
   * @internal Reports what those left that have ended meanwhile, without waiting for the next heartbeat, and goes on doing so during
   * the shutdown: for a process that survives others.
   * @returns when what was found has its outcome.
   */
  reportOrphansNow(options: OrphanSearch = {}): Promise<void> {
    return this.#safekeeping?.reportOrphansNow(options) ?? Promise.resolve();
  }

  /** @internal Who else has a say in the exit code, asked when all handlers have ended. */
  blame(guilt: () => Guilt | undefined): void {
    this.#guilt = guilt;
  }

  /** Takes all listeners off the process and lets go of the notifiers. A run under way goes on. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    // A run under way needs them until its end: a second signal would be the end of it.
    if (this.state === 'stopping') return;
    if (this.state === 'running' && this.#registry.size > 0)
      this.#log.warn(
        `this bus is disposed of with ${this.#registry.size} jobs open: it will not report them`,
      );
    this.#uninstall?.();
    void this.#reporter.close();
    void this.#safekeeping?.close();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal Runs the shutdown without listeners on the process, a thread, last words or an exit. */
  simulate(reason: ShutdownReason): Promise<ShutdownReport> {
    this.#uninstall?.();
    return this.#ending.simulate(reason);
  }

  /**
   * @internal Acts for an application that knows nothing of it: errors that it listens for are left to it, and where it listens for the
   * signal as well, the exit is its own as long as there is time. `undefined`: it knows.
   */
  standIn(others: Others | undefined): void {
    this.#others = others;
    const look = () => {
      if (this.#uninstall === undefined) return;
      for (const origin of FatalErrors.origins)
        this.#fatalErrors?.listen(origin, !this.#others?.hears(origin));
    };
    look();
    if (others) others.onChange = look;
  }

  /** @internal Memory runs out in so many milliseconds. */
  press(leftMs: number): void {
    this.#ending.run?.press(leftMs);
  }

  /** @internal Called before code of the application is run during a shutdown by anything but its handlers. */
  enforceDeadline(): void {
    this.#ending.run?.enforceDeadline();
  }

  #install(options: ShutdownBusOptions): void {
    const { config } = this;
    for (const name of config.unknownVariables) {
      this.#log.warn(`the environment variable ${name} is none of ours and has no effect; is it misspelt?`);
    }
    if (config.notifiers === undefined)
      for (const name of config.idleVariables)
        this.#log.warn(`the environment variable ${name} has no effect without SHUTDOWN_WEBHOOK_URL`);
    const isChosen = options.budgetMs !== undefined || Boolean(process.env.SHUTDOWN_BUDGET_MS);
    if (isChosen && config.budgetMs < SECONDS_PERHAPS)
      this.#log.warn(`budgetMs is ${config.budgetMs}: these are milliseconds; were seconds meant?`);
    const { fatalErrors, uninstall } = installTriggers(this.config, {
      trigger: (reason) => void this.#ending.begin(reason),
      openJobs: () => this.#registry.size,
      stopping: () => this.state !== 'running',
      hurry: () => this.#ending.haste.hurry(),
      limit: () => this.#ending.haste.limit(),
      press: (leftMs) => this.press(leftMs),
      textBytes: () => this.#reporter.estimateBytes(this.#registry),
      warn: (line) => this.#log.warn(line),
      force: (code) => this.#ending.force(code),
      ignored: (signal, why) => this.#log.info(`${signal} ignored: ${why}`),
    });
    this.#fatalErrors = fatalErrors;
    const onExit = (code: number) => {
      // The application left by itself while jobs were open: that is no success.
      const isLoss = this.#registry.size > 0 && code === 0;
      if (isLoss) config.process.exitCode = 1;
      this.#ending.exiting(isLoss ? 1 : code);
    };
    this.config.process.on('exit', onExit);
    this.#uninstall = () => {
      // Once: the listeners of an IPC channel are counted.
      this.#uninstall = undefined;
      uninstall();
      this.config.process.off('exit', onExit);
    };
    this.#safekeeping?.open(this.#reporter);
    // Nothing of it is worth an end now: the shutdown does with what there is.
    const fail = (error: unknown) => this.#note('not everything that a shutdown needs can be loaded', error);
    this.#ending.load().catch(fail);
    this.#reporter.warmUp().catch(fail);
  }

  #endingHost(): EndingHost {
    return {
      config: this.config,
      instanceId: this.instanceId,
      log: this.#log,
      registry: this.#registry,
      reporter: this.#reporter,
      safekeeping: this.#safekeeping,
      subscribers: this.#subscribers,
      errors: this.#errors,
      guilt: () => this.#guilt(),
      others: () => this.#others,
      observed: () => this.eventNames().some((event) => !this.listeners(event).every(isIdleOwnCode)),
      emit: this.emit.bind(this) as EndingHost['emit'],
      stopped: () => {
        if (this.#disposed) this.#uninstall?.();
      },
      note: (what, error) => this.#note(what, error),
    };
  }

  #reporterHost(): ReporterHost {
    return {
      config: this.config,
      instanceId: this.instanceId,
      log: this.#log,
      accepted: (job, truncated) => {
        this.#safekeeping?.keeper.delivered(job, truncated);
        this.#registry.forget(job);
        this.#ending.run?.jobSettled(job);
      },
      delivered: (event) => {
        if (this.listenerCount('delivery') > 0) this.emit('delivery', event());
      },
    };
  }

  #jobListener() {
    return {
      jobBegun: (job: JobHandle) => {
        this.#ending.run?.jobBegun(job);
        if (this.listenerCount('job-begun') > 0) this.emit('job-begun', job);
      },
      jobCheckpointed: (job: JobHandle) => this.#ending.run?.jobCheckpointed(job),
      jobKept: (job: JobHandle) => this.#ending.run?.jobKept(job),
      jobFinished: (job: JobHandle) => {
        this.#ending.run?.jobSettled(job);
        if (this.listenerCount('job-finished') > 0) this.emit('job-finished', job);
      },
      jobInterrupted: (event: ShutdownEvents['job-interrupted'][0]) =>
        void this.emit('job-interrupted', event),
      jobTimedOut: (job: JobHandle) => void this.#reportOne(job),
      jobMisspelt: ({ type, id }: JobHandle, problem: string) =>
        this.#log.warn(`job ${type} ${id}: ${problem}`),
    };
  }

  /** A job ran into its time limit while the service goes on: no need to wait for the end to say so. */
  async #reportOne(job: JobHandle): Promise<void> {
    const { clock, reserveMs } = this.config;
    const endsAt = clock.now() + reserveMs;
    const remainingMs = () => Math.max(0, endsAt - clock.now());
    this.#log.warn(`job ${job.type} ${job.id} timed out after ${job.elapsedMs} ms`);
    const outcome = await this.#reporter.reportEarly(job, { reason: 'timeout', remainingMs });
    if (outcome !== 'delivered') this.#log.warn(`job ${job.id} stays open: its report was ${outcome}`);
  }

  #refusePastPhase({ name, priority }: Subscriber): void {
    if (this.ready || (this.state === 'stopping' && priority < this.cursor)) return;
    throw new ShutdownError(
      'PHASE_PAST',
      `handler "${name}" with priority ${priority} came too late: the shutdown is already past that phase`,
    );
  }

  /** It may ask for more than there is: what comes before it in the run has that much less. */
  #warnOfGreed(subscriber: Subscriber): void {
    const { name, priority, reserveMs } = subscriber;
    if (reserveMs === 0 || priority >= PHASE_PRIORITY.drain || leftForDrain(subscriber, this.config) > 0)
      return;
    const { budgetMs } = this.config;
    this.#log.warn(
      `handler "${name}" reserves ${reserveMs} ms of budgetMs ${budgetMs}: the drain gets no time`,
    );
  }

  #safekeepingHost(): SafekeepingHost {
    return {
      config: this.config,
      instanceId: this.instanceId,
      log: this.#log,
      openJobs: () => this.#registry,
      degraded: (error) => {
        this.#ending.run?.storeDoubted(error !== undefined);
        if (error) this.#keepError(`the job store failed: ${messageOf(error)}`, error);
        this.emit(error ? 'store-failed' : 'store-restored', ...((error ? [{ error }] : []) as []));
      },
    };
  }

  /** For the report: the first ones. A service that runs for weeks meets many. */
  #keepError(message: string, cause: unknown): void {
    if (this.#errors.length < MOST_ERRORS) this.#errors.push(new Error(message, { cause: toError(cause) }));
  }

  #note(what: string, error: unknown): void {
    this.#keepError(`${what}: ${messageOf(error)}`, error);
    this.#log.error(`${what}: ${messageOf(error)}`);
  }
}
