import type { ShutdownConfig } from './config.js';
import { sayLastWords } from './delivery/last-words.js';
import type { Reporter } from './delivery/reporter.js';
import type { OpenJobs } from './jobs/registry.js';
import type { Logger } from './logger.js';
import { describeReason, reasonName, type ShutdownReason } from './reason.js';
import { reportWithoutRun, type ShutdownReport } from './report.js';
import type { Safekeeping } from './safekeeping.js';
import { depart, endProcess, isEnding, outlive } from './shutdown/departure.js';
import { Haste } from './shutdown/haste.js';
import type { ShutdownParts, ShutdownRun } from './shutdown.js';
import type { Others } from './triggers/own-listener.js';

/** Where a bus is in its life. */
export type ShutdownState = 'running' | 'stopping' | 'stopped';

/** What it needs from its bus. */
export interface EndingHost {
  readonly config: ShutdownConfig;
  readonly instanceId: string;
  readonly log: Logger;
  readonly registry: OpenJobs;
  readonly reporter: Reporter;
  readonly safekeeping: Safekeeping | undefined;
  /** Live. */
  readonly subscribers: ShutdownParts['subscribers'];
  /** Live: what went wrong so far. */
  readonly errors: ShutdownParts['errors'];
  readonly observed: ShutdownParts['observed'];
  readonly guilt: ShutdownParts['guilt'];
  /** Listeners of an application that knows nothing of the bus. */
  readonly others: () => Others | undefined;
  readonly emit: ShutdownParts['emit'];
  /** Everybody has been told. */
  readonly stopped: () => void;
  /** Something failed that is no reason to stop. */
  readonly note: (what: string, error: unknown) => void;
}

type Machinery = Pick<typeof import('./shutdown.js'), 'ShutdownRun'> &
  Pick<typeof import('./shutdown/exit.js'), 'enterShutdown' | 'leaveShutdown'>;

/** The one shutdown of a bus, from the first trigger until the process ends. The run is the middle of it. */
export class Ending {
  /** How much time there is. */
  readonly haste: Haste;
  readonly #host: EndingHost;
  #state: ShutdownState = 'running';
  #run: ShutdownRun | undefined = undefined;
  #report: Promise<ShutdownReport> | undefined = undefined;
  #machinery: Machinery | undefined = undefined;
  #isSimulated = false;
  /** A fatal error came during the shutdown, or after it. */
  #hasFailed = false;
  #hasEnded = false;
  /** The application listens for the signal that began it. */
  #isHeard = false;
  /** Nobody is waited for any more. */
  readonly #impatience = new AbortController();

  constructor(host: EndingHost) {
    this.#host = host;
    this.haste = new Haste({
      config: host.config,
      log: host.log,
      run: () => (this.#state === 'stopping' ? this.#run : undefined),
      hurried: (event) => {
        host.emit('hurried', event);
        if (event.drainMs === 0) this.#impatience.abort();
      },
    });
  }

  get state(): ShutdownState {
    return this.#state;
  }

  /** The run under way, or the one that is over. */
  get run(): ShutdownRun | undefined {
    return this.#run;
  }

  /** What only a shutdown needs comes in the background, so that neither the import nor the budget pays for it. */
  async load(): Promise<Machinery> {
    const [{ ShutdownRun }, { enterShutdown, leaveShutdown }] = await Promise.all([
      import('./shutdown.js'),
      import('./shutdown/exit.js'),
    ]);
    this.#machinery ??= { ShutdownRun, enterShutdown, leaveShutdown };
    return this.#machinery;
  }

  /** Begins it, or joins it. Never rejects. */
  begin(reason: ShutdownReason): Promise<ShutdownReport> {
    if (this.#report === undefined) {
      this.#isHeard = reason.kind === 'signal' && (this.#host.others()?.hears(reason.signal) ?? false);
      // Known before it begins: whoever hears of it may ask for it at once.
      let settle!: (report: Promise<ShutdownReport>) => void;
      this.#report = new Promise((resolve) => {
        settle = resolve;
      });
      settle(this.#shutDown(reason));
    } else if (reason.kind === 'error') {
      this.#hasFailed = true;
      this.#run?.fail();
      // It may be the application's clean-up that is waited for.
      if (this.#state === 'stopped') this.#impatience.abort();
      this.#host.note(`${reason.origin} during the shutdown`, reason.error);
    }
    return this.#report;
  }

  /** Begins it within another budget than planned; see {@link Haste.plan}. */
  beginWithin(budgetMs: number, reason: ShutdownReason, isAnnounced: boolean): Promise<ShutdownReport> {
    if (this.#report === undefined) this.haste.plan(budgetMs, isAnnounced);
    return this.begin(reason);
  }

  /** Begins it without a thread, last words or an exit. */
  simulate(reason: ShutdownReason): Promise<ShutdownReport> {
    this.#isSimulated = true;
    return this.begin(reason);
  }

  /** No step more: the user insists. */
  force(code: number): void {
    const { log, registry } = this.#host;
    log.warn(`SIGINT again: ending by force with ${code}, ${registry.size} jobs open`);
    this.speakLast('SIGINT');
    this.#end(code);
  }

  /** The process ends, whoever has brought that about. */
  exiting(code: number): void {
    if (this.#state === 'stopping' && !this.#hasEnded && !isEnding()) {
      const left = [...this.#host.subscribers].filter((subscriber) => !this.#run?.hasEnded(subscriber));
      this.#host.log.warn(
        `the process ends with ${code} in the middle of the shutdown, by process.exit() elsewhere or with nothing left to wait for; ` +
          `unfinished: ${left.map(({ name }) => `"${name}"`).join(', ') || 'no handler'}`,
      );
    }
    this.speakLast('exit');
  }

  /** Whoever is still open goes to stderr, once. */
  speakLast(reason: string): void {
    if (this.#isSimulated) return;
    const run = this.#run;
    const speak = () => this.#sayOpenJobs(run ? reasonName(run.reason) : reason);
    if (run) run.speakLast(speak);
    else speak();
  }

  async #shutDown(reason: ShutdownReason): Promise<ShutdownReport> {
    const { config, instanceId, note, safekeeping } = this.#host;
    this.#state = 'stopping';
    const triggeredAt = config.clock.now();
    // Without a turn in between, whenever it can be: nothing else may happen between the trigger and the run.
    const machinery = this.#machinery ?? (await this.load().catch(() => undefined));
    if (machinery === undefined)
      return this.#endAtOnce(reason, triggeredAt, 'without any step: what runs them could not be loaded');
    machinery.enterShutdown(instanceId);
    safekeeping?.stop(reason);
    const run = new machinery.ShutdownRun(this.#parts(), reason, triggeredAt);
    this.#run = run;
    if (this.#hasFailed) run.fail();
    this.haste.begun();
    const report = await run.run().catch((error: unknown) => note('the shutdown broke off', error));
    if (!report) {
      machinery.leaveShutdown(instanceId, 1, undefined);
      return this.#endAtOnce(reason, triggeredAt, 'without its other steps');
    }
    this.#stopped(reason, report);
    void this.#leave(run, report.exitCode, machinery);
    return report;
  }

  #parts(): ShutdownParts {
    const { config, safekeeping } = this.#host;
    return {
      ...this.#host,
      config: { ...config, budgetMs: this.haste.budgetMs },
      simulated: this.#isSimulated,
      isKept: (job) => safekeeping?.keeper.keeps(job) ?? false,
      close: () => safekeeping?.close(),
    };
  }

  #stopped(reason: ShutdownReason, report: ShutdownReport): void {
    this.#state = 'stopped';
    this.speakLast(reasonName(reason));
    this.#host.emit('stopped', report);
    this.#host.stopped();
  }

  get #stays(): boolean {
    return this.#host.config.exit === false || this.#isSimulated;
  }

  async #leave(run: ShutdownRun, exitCode: number, { leaveShutdown }: Machinery): Promise<void> {
    const { config, instanceId, log } = this.#host;
    const leave = (code: number) =>
      void depart(config, log, run, () => this.#end(this.#hasFailed ? code || 1 : code));
    // The other buses of this process wait for that, too.
    if (this.#isHeard && this.#host.others() && !this.#stays)
      await outlive(run, exitCode, log, this.#impatience.signal);
    const isLast = leaveShutdown(instanceId, exitCode, this.#stays ? undefined : leave);
    // Its deadline is over for this run; another bus may have more time.
    if (this.#stays || !isLast) run.release();
  }

  /** The files of this package are gone, or no descriptor is left to open them: jobs are told of all the same. */
  #endAtOnce(reason: ShutdownReason, triggeredAt: number, how: string): ShutdownReport {
    const { log, registry, errors } = this.#host;
    log.error(`stopping: ${describeReason(reason)}, ${how}`);
    const report = reportWithoutRun(this.#host, reason, { triggeredAt, open: registry.size, errors });
    this.#stopped(reason, report);
    if (!this.#stays) this.#end(report.exitCode);
    return report;
  }

  /** The first code counts: an exit function may take its time. */
  #end(code: number): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    endProcess(this.#host.config, code, (error) => this.#host.note('the exit function failed', error));
  }

  #sayOpenJobs(reason: string): void {
    const { log, reporter, registry, safekeeping } = this.#host;
    const open = [...registry].filter((job) => !this.#run?.hasVoiced(job));
    sayLastWords(open, reason, { log, reporter, keeper: safekeeping?.keeper });
    for (const job of open) registry.forget(job);
  }
}
