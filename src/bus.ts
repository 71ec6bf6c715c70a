import { resolveConfig, type ShutdownBusOptions, type ShutdownConfig } from './config.js';
import { sayLastWords } from './delivery/last-words.js';
import { Reporter, type ReporterHost } from './delivery/reporter.js';
import { messageOf, ShutdownError, toError } from './errors.js';
import type { ShutdownEvents } from './events.js';
import type { JobRegistry } from './jobs/job.js';
import type { JobHandle } from './jobs/job-handle.js';
import { OpenJobs } from './jobs/registry.js';
import { createInstanceLogger, type Logger } from './logger.js';
import { ObservedEmitter } from './observers.js';
import { isIdleOwnCode } from './own-code.js';
import type { ShutdownHandler, SubscribeOptions, Subscriber } from './phases.js';
import { describeReason, reasonName, type ShutdownReason } from './reason.js';
import { reportWithoutRun, type ShutdownReport } from './report.js';
import { Safekeeping, type SafekeepingHost } from './safekeeping.js';
import { depart, endProcess } from './shutdown/departure.js';
import { Haste, type HasteHost } from './shutdown/haste.js';
import { createSubscriber } from './shutdown/subscriber.js';
import type { ShutdownParts, ShutdownRun } from './shutdown.js';
import { installTriggers } from './triggers/index.js';

/** Undoes a subscription: call it, or dispose it. Safe to call twice. */
export type Subscription = (() => void) & Disposable;

type Machinery = Pick<typeof import('./shutdown.js'), 'ShutdownRun'> &
  Pick<typeof import('./shutdown/exit.js'), 'enterShutdown' | 'leaveShutdown'>;

const MOST_ERRORS = 100;

/** Where a bus is in its life. */
export type ShutdownState = 'running' | 'stopping' | 'stopped';

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
  readonly #haste: Haste;
  readonly #subscribers = new Set<Subscriber>();
  readonly #errors: Error[] = [];
  #state: ShutdownState = 'running';
  #run: ShutdownRun | undefined = undefined;
  #report: Promise<ShutdownReport> | undefined = undefined;
  #uninstall: (() => void) | undefined = undefined;
  #simulated = false;
  #loaded: Machinery | undefined = undefined;
  #disposed = false;
  /** A fatal error came during the shutdown, or after it. */
  #hasFailed = false;
  #hasEnded = false;

  /** @throws {ShutdownError} `INVALID_OPTION` or `INVALID_ENVIRONMENT`: all that is wrong at once. */
  constructor(options: ShutdownBusOptions = {}) {
    super((event, error) => this.#note(`an observer of "${event}" failed`, error));
    this.config = resolveConfig(options);
    const { config, instanceId } = this;
    this.#log = createInstanceLogger(config.logger, config.service, instanceId);
    this.#haste = new Haste(this.#hasteHost());
    this.#safekeeping = config.store && new Safekeeping(config.store, this.#safekeepingHost());
    this.#registry = new OpenJobs(config.clock, this.#jobListener(), this.#safekeeping?.keeper);
    this.jobs = this.#registry;
    this.#reporter = new Reporter(this.#reporterHost());
    this.#install();
  }

  /** `running` until the first trigger, `stopped` when the report is there. */
  get state(): ShutdownState {
    return this.#state;
  }

  /** Whether this process should get new work: what a readiness probe asks. */
  get ready(): boolean {
    return this.#state === 'running';
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
    this.#subscribers.add(subscriber);
    const unsubscribe = () => void this.#subscribers.delete(subscriber);
    return Object.assign(unsubscribe, { [Symbol.dispose]: unsubscribe });
  }

  /**
   * Begins the shutdown, or joins the one under way: the first trigger wins and all get the same report.
   * Never rejects.
   */
  requestShutdown(message?: string): Promise<ShutdownReport> {
    return this.#trigger({ kind: 'request', ...(message !== undefined && { message }) });
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
    if (this.#report === undefined) this.#haste.plan(budgetMs, isAnnounced);
    return this.#trigger(reason);
  }

  /** @internal Gives a shutdown without haste the usual time from now on. */
  limitHaste(): void {
    this.#haste.limit();
  }

  /** @internal Whether the shutdown under way has more time than usual: nothing is cut off by a limit of its own. */
  get isUnhurried(): boolean {
    return this.#haste.isUnhurried;
  }

  /** @internal Of the shutdown under way: every step with this priority or a higher one has begun. */
  get cursor(): number {
    return this.#run?.cursor ?? Number.POSITIVE_INFINITY;
  }

  /**
   * @internal Reports what those left that have ended meanwhile, without waiting for the next heartbeat, and goes on doing so during
   * the shutdown: for a process that survives others. With `isLast` whatever was found before.
   * @returns when what was found has its outcome.
   */
  reportOrphansNow(options: { readonly isLast?: boolean } = {}): Promise<void> {
    return this.#safekeeping?.reportOrphansNow(options) ?? Promise.resolve();
  }

  /** Takes all listeners off the process and lets go of the notifiers. A run under way goes on. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    // A run under way needs them until its end: a second signal would be the end of it.
    if (this.#state === 'stopping') return;
    if (this.#state === 'running' && this.#registry.size > 0)
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
    this.#simulated = true;
    return this.#trigger(reason);
  }

  /** @internal Memory runs out in so many milliseconds. */
  press(leftMs: number): void {
    this.#run?.press(leftMs);
  }

  /** @internal Called before code of the application is run during a shutdown by anything but its handlers. */
  enforceDeadline(): void {
    this.#run?.enforceDeadline();
  }

  #install(): void {
    const { config } = this;
    for (const name of config.unknownVariables) {
      this.#log.warn(`the environment variable ${name} is none of ours and has no effect; is it misspelt?`);
    }
    const undo = installTriggers(this.config, {
      trigger: (reason) => void this.#trigger(reason),
      openJobs: () => this.#registry.size,
      stopping: () => this.#state !== 'running',
      hurry: () => this.#haste.hurry(),
      limit: () => this.#haste.limit(),
      press: (leftMs) => this.press(leftMs),
      textBytes: () => this.#reporter.estimateBytes(this.#registry),
      warn: (line) => this.#log.warn(line),
      force: (code) => this.#force(code),
      ignored: (signal, why) => this.#log.info(`${signal} ignored: ${why}`),
    });
    const onExit = (code: number) => {
      // The application left by itself while jobs were open: that is no success.
      if (this.#registry.size > 0 && code === 0) config.process.exitCode = 1;
      this.#speakLast('exit');
    };
    this.config.process.on('exit', onExit);
    this.#uninstall = () => {
      // Once: the listeners of an IPC channel are counted.
      this.#uninstall = undefined;
      undo();
      this.config.process.off('exit', onExit);
    };
    this.#safekeeping?.open(this.#reporter);
    // Nothing of it is worth an end now: the shutdown does with what there is.
    const fail = (error: unknown) => this.#note('not everything that a shutdown needs can be loaded', error);
    this.#load().catch(fail);
    this.#reporter.warmUp().catch(fail);
  }

  #trigger(reason: ShutdownReason): Promise<ShutdownReport> {
    if (this.#report === undefined) {
      // Known before it begins: whoever hears of it may ask for it at once.
      let settle!: (report: Promise<ShutdownReport>) => void;
      this.#report = new Promise((resolve) => {
        settle = resolve;
      });
      settle(this.#shutDown(reason));
    } else if (reason.kind === 'error') {
      this.#hasFailed = true;
      this.#run?.fail();
      this.#note(`${reason.origin} during the shutdown`, reason.error);
    }
    return this.#report;
  }

  async #shutDown(reason: ShutdownReason): Promise<ShutdownReport> {
    this.#state = 'stopping';
    const triggeredAt = this.config.clock.now();
    // Without a turn in between, whenever it can be: nothing else may happen between the trigger and the run.
    const machinery = this.#loaded ?? (await this.#load().catch(() => undefined));
    if (machinery === undefined)
      return this.#endAtOnce(reason, triggeredAt, 'without any step: what runs them could not be loaded');
    const { enterShutdown, leaveShutdown, ShutdownRun } = machinery;
    enterShutdown(this.instanceId);
    this.#safekeeping?.stop(reason);
    const run = new ShutdownRun(this.#parts(), reason, triggeredAt);
    this.#run = run;
    if (this.#hasFailed) run.fail();
    this.#haste.begun();
    let report: ShutdownReport;
    try {
      report = await run.run();
    } catch (error) {
      this.#note('the shutdown broke off', error);
      leaveShutdown(this.instanceId, 1, undefined);
      return this.#endAtOnce(reason, triggeredAt, 'without its other steps');
    }
    this.#state = 'stopped';
    this.#speakLast(reasonName(reason));
    this.emit('stopped', report);
    if (this.#disposed) this.#uninstall?.();
    const stays = this.config.exit === false || this.#simulated;
    const leave = stays
      ? undefined
      : (code: number) => void depart(this.config, run, () => this.#end(this.#hasFailed ? code || 1 : code));
    const last = leaveShutdown(this.instanceId, report.exitCode, leave);
    // Its deadline is over for this run; another bus may have more time.
    if (stays || !last) run.release();
    return report;
  }

  /** The files of this package are gone, or no descriptor is left to open them: jobs are told of all the same. */
  #endAtOnce(reason: ShutdownReason, triggeredAt: number, how: string): ShutdownReport {
    this.#log.error(`stopping: ${describeReason(reason)}, ${how}`);
    const report = reportWithoutRun(this, reason, {
      triggeredAt,
      open: this.#registry.size,
      errors: this.#errors,
    });
    this.#state = 'stopped';
    this.#speakLast(reasonName(reason));
    this.emit('stopped', report);
    if (this.config.exit !== false && !this.#simulated) this.#end(report.exitCode);
    return report;
  }

  #force(code: number): void {
    this.#log.warn(`SIGINT again: ending by force with ${code}, ${this.#registry.size} jobs open`);
    this.#speakLast('SIGINT');
    this.#end(code);
  }

  /** The first code counts: an exit function may take its time. */
  #end(code: number): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    endProcess(this.config, code, (error) => this.#note('the exit function failed', error));
  }

  /** Whoever is still open goes to stderr, once. */
  #speakLast(reason: string): void {
    if (this.#simulated) return;
    const run = this.#run;
    const speak = () => this.#sayOpenJobs(run ? reasonName(run.reason) : reason);
    if (run) run.speakLast(speak);
    else speak();
  }

  #sayOpenJobs(reason: string): void {
    const open = [...this.#registry].filter((job) => !this.#run?.hasVoiced(job));
    sayLastWords(open, reason, {
      log: this.#log,
      reporter: this.#reporter,
      keeper: this.#safekeeping?.keeper,
    });
    for (const job of open) this.#registry.forget(job);
  }

  /** What only a shutdown needs comes in the background, so that neither the import nor the budget pays for it. */
  async #load(): Promise<Machinery> {
    const [{ ShutdownRun }, { enterShutdown, leaveShutdown }] = await Promise.all([
      import('./shutdown.js'),
      import('./shutdown/exit.js'),
    ]);
    this.#loaded ??= { ShutdownRun, enterShutdown, leaveShutdown };
    return this.#loaded;
  }

  #hasteHost(): HasteHost {
    return {
      config: this.config,
      log: this.#log,
      run: () => (this.#state === 'stopping' ? this.#run : undefined),
      hurried: (event) => void this.emit('hurried', event),
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
        this.#run?.jobSettled(job);
      },
      delivered: (event) => {
        if (this.listenerCount('delivery') > 0) this.emit('delivery', event());
      },
    };
  }

  #parts(): ShutdownParts {
    return {
      config: { ...this.config, budgetMs: this.#haste.budgetMs },
      instanceId: this.instanceId,
      registry: this.#registry,
      reporter: this.#reporter,
      log: this.#log,
      subscribers: this.#subscribers,
      errors: this.#errors,
      simulated: this.#simulated,
      isKept: (job) => this.#safekeeping?.keeper.keeps(job) ?? false,
      close: () => this.#safekeeping?.close(),
      observed: () => this.eventNames().some((event) => !this.listeners(event).every(isIdleOwnCode)),
      emit: this.emit.bind(this) as ShutdownParts['emit'],
    };
  }

  #jobListener() {
    return {
      jobBegun: (job: JobHandle) => {
        this.#run?.jobBegun(job);
        if (this.listenerCount('job-begun') > 0) this.emit('job-begun', job);
      },
      jobCheckpointed: (job: JobHandle) => this.#run?.jobCheckpointed(job),
      jobKept: (job: JobHandle) => this.#run?.jobKept(job),
      jobFinished: (job: JobHandle) => {
        this.#run?.jobSettled(job);
        if (this.listenerCount('job-finished') > 0) this.emit('job-finished', job);
      },
      jobInterrupted: (event: ShutdownEvents['job-interrupted'][0]) =>
        void this.emit('job-interrupted', event),
      jobTimedOut: (job: JobHandle) => void this.#reportOne(job),
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
    if (this.#state === 'running' || (this.#state === 'stopping' && priority < this.cursor)) return;
    throw new ShutdownError(
      'PHASE_PAST',
      `handler "${name}" with priority ${priority} came too late: the shutdown is already past that phase`,
    );
  }

  #safekeepingHost(): SafekeepingHost {
    return {
      config: this.config,
      instanceId: this.instanceId,
      log: this.#log,
      openJobs: () => this.#registry,
      degraded: (error) => {
        this.#run?.storeDoubted(error !== undefined);
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
