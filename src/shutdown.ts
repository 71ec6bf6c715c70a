import { type Budget, SPEAK_MS, startBudget } from './budget.js';
import { sleep, systemClock } from './clock.js';
import type { ShutdownConfig } from './config.js';
import type { Reporter } from './delivery/reporter.js';
import type { ShutdownEvents } from './events.js';
import { GracefulExit } from './jobs/interrupt.js';
import type { JobHandle } from './jobs/job-handle.js';
import type { OpenJobs } from './jobs/registry.js';
import type { Logger } from './logger.js';
import { isIdleOwnCode } from './own-code.js';
import { PHASE_PRIORITY, PHASES, type Phase, phaseOf, type Subscriber } from './phases.js';
import { describeReason, isQuick, reasonName, type ShutdownReason } from './reason.js';
import type { PhaseReport, ShutdownReport } from './report.js';
import { Books } from './shutdown/books.js';
import { type Group, type PhaseRun, skipHandler, startGroup } from './shutdown/handler-group.js';
import { logHandler, logReport, logStopping } from './shutdown/report-log.js';
import { reservedAfter } from './shutdown/reserves.js';
import { builtInSteps } from './shutdown/steps.js';
import { DeadlineGuard } from './watchdog/deadline-guard.js';
import { deliverBeside } from './watchdog/deliver-beside.js';

/** An exit code above 0, and who has earned it. */
export interface Guilt {
  readonly code: number;
  readonly whose: string;
}

/** What a run is made of. */
export interface ShutdownParts {
  readonly config: ShutdownConfig;
  readonly instanceId: string;
  readonly registry: OpenJobs;
  readonly reporter: Reporter;
  readonly log: Logger;
  /** Live: a handler may subscribe another one while the run goes on. */
  readonly subscribers: ReadonlySet<Subscriber>;
  /** Live: what went wrong outside of handlers. */
  readonly errors: readonly Error[];
  /** Whether a durable store has this job. */
  readonly isKept: (job: JobHandle) => boolean;
  /** Lets go of the store. */
  readonly close: () => Promise<void> | undefined;
  /** An exit code that others have earned for this process. */
  readonly guilt: () => Guilt | undefined;
  /** Runs without a thread beside it. */
  readonly simulated: boolean;
  /** Whether anybody but us watches the events. */
  readonly observed: () => boolean;
  readonly emit: <E extends keyof ShutdownEvents>(event: E, ...args: ShutdownEvents[E]) => void;
}

/** One shutdown, from its trigger to its report. */
export class ShutdownRun {
  /** Everything above or equal has begun. */
  cursor = Number.POSITIVE_INFINITY;
  readonly reason: ShutdownReason;
  readonly #parts: ShutdownParts;
  readonly #budget: Budget;
  readonly #steps: readonly Subscriber[];
  readonly #guard: DeadlineGuard;
  readonly #books = new Books();
  readonly #hurried = new AbortController();
  readonly #ended = new Set<Subscriber>();
  #quick: boolean;
  /** Interrupted jobs have no time to clean up. */
  #graceless = false;
  #group: Group | undefined;

  /** @param triggeredAt on the clock of `parts.config`: when the budget began. */
  constructor(parts: ShutdownParts, reason: ShutdownReason, triggeredAt: number) {
    this.#parts = parts;
    this.reason = reason;
    this.#budget = startBudget(parts.config.clock, parts.config.budgetMs, triggeredAt);
    this.#guard = new DeadlineGuard({
      ...parts,
      remainingMs: () => this.#budget.remainingMs(),
      lines: (jobs) => parts.reporter.lines(jobs, reasonName(reason)),
    });
    this.#quick = isQuick(reason);
    this.#steps = builtInSteps({
      ...parts,
      quick: () => this.#quick,
      hurried: this.#hurried.signal,
      interruptGraceMs: () => (this.#graceless ? 0 : parts.config.interruptGraceMs),
      deliver: (jobs, occasion) => deliverBeside(this.#guard.watchdog, parts.reporter, jobs, occasion),
      sealed: (jobs) => this.#books.sealed(jobs),
      reported: (outcome) => this.#books.reported(outcome),
      delivered: (notifiers) => this.#books.delivered(notifiers),
    });
  }

  /** Milliseconds until the end of the budget. */
  remainingMs(): number {
    return this.#budget.remainingMs();
  }

  /** Runs it. Never rejects. */
  async run(): Promise<ShutdownReport> {
    const { config, instanceId, registry, reporter, errors, emit } = this.#parts;
    const startedAt = new Date(config.clock.wallTime()).toISOString();
    const open = registry.size;
    const begunBefore = registry.begun;

    // 1. A thread that ends the process at the deadline, should the event loop be blocked then.
    this.#armGuard();

    // 2. Everybody hears that it is time to finish.
    const stopping = { reason: this.reason, budgetMs: config.budgetMs, openJobs: open };
    logStopping(this.#parts.log, stopping);
    emit('stopping', stopping);
    registry.announce(new GracefulExit('SIGTERM', `the shutdown has begun (${describeReason(this.reason)})`));

    // 3. Handlers, phase by phase, higher priorities first. The built-in steps are among them.
    for (const phase of PHASES) await this.#runPhase(phase);
    this.cursor = Number.NEGATIVE_INFINITY;

    // 4. Nobody is left to be told.
    await this.#closeNotifiers(reporter);

    // 5. What happened, for whoever asks.
    const guilt = this.#parts.guilt();
    const report = this.#books.close({
      reason: this.reason,
      service: config.service,
      instanceId,
      startedAt,
      durationMs: Math.round(this.#budget.elapsedMs()),
      budgetMs: config.budgetMs,
      open,
      begun: registry.begun - begunBefore,
      leastCode: guilt?.code ?? 0,
      errors,
    });
    logReport(this.#parts.log, report, guilt?.whose);
    return report;
  }

  /** Leaves out what is left before the interruption of open jobs. */
  hurry(): void {
    this.#quick = true;
    this.#hurried.abort();
    if (this.cursor > PHASE_PRIORITY.deliver) this.#group?.cut('dispensable');
  }

  /** Whether memory began it, or cut it short. */
  get isShortOfMemory(): boolean {
    return this.reason.kind === 'memory' || this.#graceless;
  }

  /** Memory runs out in so many milliseconds: what comes before the reports is left out as far as it must be. */
  press(leftMs: number): void {
    if (this.cursor <= PHASE_PRIORITY.deliver) return;
    const isTight = leftMs < SPEAK_MS;
    if (leftMs >= this.#parts.config.interruptGraceMs + SPEAK_MS) return;
    if (!this.#quick)
      this.#parts.log.warn(`memory runs out in ${Math.round(leftMs)} ms: the drain is cut short`);
    this.hurry();
    if (!isTight) return;
    this.#graceless = true;
    this.#group?.cut('all');
  }

  jobBegun(job: JobHandle): void {
    this.#guard.jobBegun(job);
  }

  jobCheckpointed(job: JobHandle): void {
    this.#guard.jobCheckpointed(job);
  }

  jobKept(job: JobHandle): void {
    this.#guard.jobKept(job);
  }

  /** The store fails, or works again. */
  storeDoubted(doubtful: boolean): void {
    this.#guard.storeDoubted(doubtful);
  }

  /** Calls `speak`, unless the watchdog says all of it. */
  speakLast(speak: () => void): void {
    if (!this.#guard.takeFloor()) return;
    try {
      speak();
    } finally {
      this.#guard.leaveFloor();
    }
  }

  jobSettled(job: JobHandle): void {
    this.#guard.jobSettled(job);
  }

  /** The watchdog thread has reported this job, in place of a blocked event loop. */
  hasVoiced(job: JobHandle): boolean {
    return this.#guard.watchdog?.hasVoiced(job) ?? false;
  }

  /** Code of the application is about to run: the deadline must hold against it. */
  enforceDeadline(): void {
    this.#guard.enforce();
  }

  /** Whether that handler was run, or left out. */
  hasEnded(subscriber: Subscriber): boolean {
    return this.#ended.has(subscriber);
  }

  /** An error that nobody caught came while it ran. */
  fail(): void {
    this.#books.fail();
  }

  /** The process is not ended by this run. */
  release(): void {
    this.#guard.disarm();
  }

  async #runPhase(phase: Phase): Promise<void> {
    const { emit } = this.#parts;
    const startedMs = this.#budget.elapsedMs();
    emit('phase-started', { phase });
    for (let group = this.#next(phase); group.length > 0; group = this.#next(phase))
      await this.#runGroup(group);
    const durationMs = Math.round(this.#budget.elapsedMs() - startedMs);
    const report: PhaseReport = Object.freeze({ phase, startedMs: Math.round(startedMs), durationMs });
    this.#books.phases.push(report);
    emit('phase-finished', report);
  }

  async #runGroup(group: readonly Subscriber[]): Promise<void> {
    const priority = (group[0] as Subscriber).priority;
    this.cursor = priority;
    const run = this.#phaseRun();
    const skipped = this.#quick && phaseOf(priority) === 'drain' ? group.filter((one) => !one.essential) : [];
    for (const subscriber of skipped) this.#books.handlers.push(skipHandler(subscriber, run));
    const left = group.filter((one) => !skipped.includes(one));
    if (left.length === 0) return;
    // Subscribed while the shutdown runs.
    if (left.some((one) => !this.#steps.includes(one) && !isIdleOwnCode(one.handler))) this.#guard.enforce();
    this.#group = startGroup(
      left,
      this.#budget.remainingMs(reservedAfter(priority, this.#ahead(), this.#parts.config)),
      run,
    );
    if (this.#graceless && priority > PHASE_PRIORITY.deliver) this.#group.cut('all');
    this.#books.handlers.push(...(await this.#group.reports));
    this.#group = undefined;
  }

  /** The next handlers to run in this phase: all of the highest priority that has not begun. */
  #next(phase: Phase): readonly Subscriber[] {
    const ahead = this.#ahead().filter(({ priority }) => phaseOf(priority) === phase);
    const highest = Math.max(...ahead.map(({ priority }) => priority));
    return ahead.filter(({ priority }) => priority === highest);
  }

  #ahead(): Subscriber[] {
    return [...this.#steps, ...this.#parts.subscribers].filter(({ priority }) => priority < this.cursor);
  }

  #phaseRun(): PhaseRun {
    const { config, registry, log, emit } = this.#parts;
    return {
      clock: config.clock,
      budget: this.#budget,
      reason: this.reason,
      openJobs: () => [...registry],
      started: (subscriber) => {
        const { name, priority } = subscriber;
        emit('handler-started', { name, phase: phaseOf(priority), priority });
        if (!this.#steps.includes(subscriber)) this.#guard.handlerStarted(subscriber);
      },
      returned: () => this.#guard.handlerReturned(),
      finished: (report, subscriber) => {
        this.#guard.handlerFinished(report);
        this.#ended.add(subscriber);
        logHandler(log, report);
        emit('handler-finished', report);
      },
    };
  }

  #armGuard(): void {
    const { config, registry, subscribers, simulated, observed } = this.#parts;
    // On an injected clock the deadline has no meaning for a thread.
    if (!config.watchdog || config.clock !== systemClock || simulated) return;
    // A service with nothing to do is gone at once.
    const nothingToWaitFor = registry.size === 0 && subscribers.size === 0;
    this.#guard.arm(nothingToWaitFor ? !observed() : this.#isIdle());
  }

  /** Whether nothing of the application is known that runs before the process is gone. */
  #isIdle(): boolean {
    const { config, registry, subscribers, observed } = this.#parts;
    const { reason } = this;
    if (registry.size > 0 || observed() || config.notifiers !== undefined) return false;
    if (reason.kind !== 'signal' || config.process !== process) return false;
    // Ours are the first ones.
    const others = process.listenerCount(reason.signal) > 1 || process.listenerCount('exit') > 1;
    return !others && [...subscribers].every(({ handler }) => isIdleOwnCode(handler));
  }

  async #closeNotifiers(reporter: Reporter): Promise<void> {
    const { config } = this.#parts;
    const time = new AbortController();
    const closed = Promise.all([reporter.close(), this.#parts.close()]).then(() => time.abort());
    await Promise.race([closed, sleep(config.clock, this.#budget.remainingMs(), time.signal)]);
  }
}
