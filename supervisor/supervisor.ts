import cluster from 'node:cluster';
import { dirname } from 'node:path';
import { sleep, systemClock } from '../src/clock.js';
import { messageOf } from '../src/errors.js';
import {
  type Logger,
  type ShutdownBus,
  type ShutdownContext,
  ShutdownError,
  type ShutdownReason,
  type ShutdownReport,
} from '../src/index.js';
import { loggerOf, logPrefix } from '../src/logger.js';
import { ObservedEmitter } from '../src/observers.js';
import type { PlatformName } from '../src/platform.js';
import { isQuick, reasonName } from '../src/reason.js';
import { checkWorkers, MOST_WORKERS } from './check-options.js';
import { controlPath, openControl, sweep } from './control.js';
import { Crew, type CrewListener } from './crew/crew.js';
import { Rolling } from './crew/rolling.js';
import type { WorkerProcess } from './crew/worker-process.js';
import type { ReloadReport, SupervisorEvents, SupervisorState } from './events.js';
import { SharedListeners } from './listeners.js';
import { tellEverybody } from './manners/manners.js';
import type { SuperviseSettings } from './options.js';
import { createPrimaryBus } from './primary-bus.js';
import { listenToSignals } from './signals.js';

/** How a supervisor is stopped. */
export interface StopOptions {
  /** Without a limit but `failSafeMs`. @default false: within the budget */
  readonly unhurried?: boolean;
}

/** From wherever the build has put this file: one folder below its root. */
const PRELOAD = new URL('../supervisor/worker.js', import.meta.url).href;

/** Platforms whose notice is SIGINT. Elsewhere it is somebody at a keyboard who does not want to wait. */
const INTERRUPTING: ReadonlySet<PlatformName> = new Set(['fly', 'pm2']);

/** A primary and its workers. Disposing it is not the end of them: call `stop`. */
export class Supervisor extends ObservedEmitter<SupervisorEvents> {
  /** The primary's own bus: its end is the end of the workers, and it reports what dead ones have left. */
  readonly bus: ShutdownBus;
  readonly #settings: SuperviseSettings;
  readonly #log: Logger;
  readonly #crew: Crew;
  readonly #rolling: Rolling;
  readonly #listeners: SharedListeners;
  readonly #unlisten: () => void;
  /** Milliseconds that a worker has from the signal to SIGKILL. */
  readonly #endMs: number;
  /** Milliseconds kept of a stop for SIGKILL to do its work. */
  readonly #killMs: number;
  #hasBeenReady = false;

  /** @internal */
  constructor(settings: SuperviseSettings) {
    super((event, error) => this.#log.error(`an observer of "${event}" failed: ${messageOf(error)}`));
    this.#settings = settings;
    const { bus, workerEnv, endMs, killMs } = createPrimaryBus(settings, () => this.#crew.exitCode);
    this.bus = bus;
    this.#endMs = endMs;
    this.#killMs = killMs;
    this.#log = loggerOf(bus);
    const serves = (id: number) => this.#crew.serving.some((worker) => worker.id === id);
    this.#listeners = new SharedListeners(serves, this.#log);
    const listener = this.#crewListener();
    const prefix = logPrefix(bus.config.service, bus.instanceId);
    this.#crew = new Crew({ settings, env: workerEnv, endMs, log: this.#log, logPrefix: prefix, listener });
    this.#rolling = new Rolling({
      crew: this.#crew,
      log: this.#log,
      isRunning: () => bus.state === 'running',
      begun: (workers) => void this.emit('reload-started', { workers }),
      finished: (report) => this.#reloaded(report),
    });
    this.#subscribe();
    this.#unlisten = listenToSignals(settings, this.#signalled());
    this.#openDoor(settings);
    tellEverybody(this, settings, this.#log);
    setUpCluster(settings);
    this.#log.info(`supervising ${settings.workers} workers of ${settings.exec}`);
    this.#crew.scale(settings.workers);
  }

  state(): SupervisorState {
    const workers = this.#crew.all.map(({ view }) => view);
    return Object.freeze({
      state: this.bus.state,
      pid: process.pid,
      service: this.bus.config.service,
      exec: this.#settings.exec,
      wanted: this.#crew.wanted,
      ready: workers.filter(({ state }) => state === 'ready').length,
      reloading: this.#rolling.isReloading,
      workers,
    });
  }

  /**
   * Replaces every worker by a new one, one after the other: an old one is asked to end when its successor is ready. Called while one is
   * under way, another one follows. Never rejects.
   * @returns when the last old worker is gone, or the reload was given up because a new one did not become ready.
   */
  reload(): Promise<ReloadReport> {
    return this.#rolling.reload();
  }

  /**
   * So many workers from now on.
   * @throws {ShutdownError} `INVALID_OPTION` for anything but a whole number from 1 to 1024.
   */
  scale(workers: number): void {
    const problem = workers === undefined ? 'workers is missing' : checkWorkers('workers', workers);
    if (problem !== undefined) throw new ShutdownError('INVALID_OPTION', `scale: ${problem}`);
    if (this.bus.state !== 'running' || workers === this.#crew.wanted) return;
    this.#log.info(`scaled from ${this.#crew.wanted} to ${workers} workers`);
    this.#crew.scale(workers);
    this.emit('scaled', { workers });
  }

  /** Ends the workers and then this process. Never rejects. */
  stop({ unhurried = false }: StopOptions = {}): Promise<ShutdownReport> {
    if (!unhurried) {
      this.bus.limitHaste();
      return this.bus.requestShutdown('stop');
    }
    const reason = { kind: 'request', message: 'stop without haste' } as const;
    return this.bus.requestShutdownWithin(this.#failSafeMs, reason);
  }

  /** Never less than an ordinary stop has. */
  get #failSafeMs(): number {
    return Math.max(this.#settings.failSafeMs, this.bus.config.budgetMs);
  }

  #subscribe(): void {
    const { bus } = this;
    bus.on('stopping', ({ reason }) => void this.emit('stopping', { reason }));
    bus.on('stopped', (report) => {
      // Until then, and until the exit where there is one: what they would do by themselves is to end this process, or to suspend it.
      if (this.#settings.bus.exit === false) this.#unlisten();
      this.emit('stopped', report);
    });
    // By force, with a second SIGINT: nobody is to go on alone.
    process.once('exit', () => {
      if (bus.state === 'stopping') for (const worker of this.#crew.all) worker.signal('SIGKILL');
    });
    bus.subscribeShutdown((context) => this.#endWorkers(context), {
      name: 'end workers',
      phase: 'drain',
      essential: true,
      details: () => ({ workers: this.#crew.all.length }),
    });
    bus.subscribeShutdown(() => this.#reportKilled(), {
      name: 'report jobs of killed workers',
      phase: 'deliver',
    });
    // From now on also while this process ends.
    void bus.reportOrphansNow();
  }

  #openDoor({ control, exec }: SuperviseSettings): void {
    if (control === false) return;
    try {
      const path = control ?? controlPath(exec, process.pid, process.env);
      if (control === undefined) void sweep(dirname(path));
      const close = openControl(path, this, this.#log);
      // Open to the end: whoever asks how far the stop is gets an answer.
      this.bus.on('stopped', close);
    } catch (error) {
      this.#log.warn(`no control socket: ${messageOf(error)}`);
    }
  }

  /** They are dead a moment after SIGKILL: what is not yet gone is nobody's orphan. */
  async #reportKilled(): Promise<void> {
    await this.#crew.ended();
    await this.bus.reportOrphansNow({ isLast: true });
  }

  async #endWorkers({ reason, signal, remainingMs }: ShutdownContext): Promise<void> {
    this.#listeners.leave();
    const patience = new AbortController();
    this.bus.on('hurried', ({ drainMs }) => {
      for (const worker of this.#crew.all) worker.signal(drainMs > 0 ? 'SIGTERM' : 'SIGQUIT');
      void sleep(systemClock, this.#endMs, signal).then(() => patience.abort());
    });
    await this.#crew.endAll(
      (worker) => {
        // One that is being replaced takes its time otherwise.
        if (isQuick(reason) || this.#isFromKeyboard(reason)) worker.ask('SIGQUIT');
        else if (worker.isAsked) return;
        else if (this.bus.isUnhurried) worker.order(this.#unhurriedEnd(remainingMs()));
        // Whoever has sent it may have sent it to everybody.
        else if (reasonName(reason) === 'SIGTERM') worker.ask('SIGTERM');
        else worker.order({ signal: 'SIGTERM', isSucceeded: false });
      },
      remainingMs() - this.#killMs,
      AbortSignal.any([signal, patience.signal]),
    );
  }

  #isFromKeyboard(reason: ShutdownReason): boolean {
    return reasonName(reason) === 'SIGINT' && !INTERRUPTING.has(this.bus.config.platform.name);
  }

  #unhurriedEnd(budgetMs: number) {
    return { signal: 'SIGTERM', isSucceeded: false, budgetMs } as const;
  }

  #reloaded(report: ReloadReport): void {
    const { outcome, workers, durationMs } = report;
    if (outcome === 'restarted') this.#log.info(`restarted: ${workers} workers in ${durationMs} ms`);
    else if (outcome === 'given-up')
      this.#log.error(`reload given up after ${workers} workers, ${durationMs} ms`);
    if (outcome !== 'stopped') this.emit(outcome === 'restarted' ? 'restarted' : 'reload-given-up', report);
  }

  #crewListener(): CrewListener {
    return {
      started: (worker) => void this.emit('worker-started', worker),
      ready: (worker) => {
        this.emit('worker-ready', worker);
        const state = this.state();
        if (this.#hasBeenReady || state.ready < state.wanted) return;
        this.#hasBeenReady = true;
        this.#log.info(`ready: ${state.ready} workers`);
        this.emit('ready', state);
      },
      worn: (worker, why) => void this.#replaceWorn(worker, why),
      blocked: (worker, report) => void this.emit('worker-blocked', { ...worker, ...report }),
      silent: (worker, silentMs, signal) => void this.emit('worker-silent', { ...worker, silentMs, signal }),
      ended: (ending, { instanceId }) => {
        this.emit('worker-ended', ending);
        void this.bus.reportOrphansNow({ dead: instanceId });
      },
      hopeless: () => {
        this.#log.error(
          'no worker became ready, and the last ones all ended at their start: giving up; what they said is above',
        );
        void this.bus.requestShutdown('no worker can be started');
      },
    };
  }

  async #replaceWorn(worker: WorkerProcess, why: string): Promise<void> {
    this.#log.info(`worker ${worker.id} (pid ${worker.pid}) is to be replaced: ${why}`);
    await this.#rolling.replace(worker);
    worker.wearOn();
  }

  #signalled() {
    return {
      isStopping: () => this.bus.state !== 'running',
      ignored: (signal: NodeJS.Signals) => this.#log.info(`${signal} ignored: the shutdown is under way`),
      reload: () => void this.reload(),
      scaleBy: (workers: number) =>
        this.scale(Math.min(MOST_WORKERS, Math.max(1, this.#crew.wanted + workers))),
      stopUnhurried: (signal: NodeJS.Signals) =>
        void this.bus.requestShutdownWithin(this.#failSafeMs, { kind: 'signal', signal }),
    };
  }
}

function setUpCluster({ exec, args, execArgv }: SuperviseSettings): void {
  // Every worker accepts from the one backlog in the kernel: what nobody has accepted yet is nobody's, and outlives each of them.
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  cluster.setupPrimary({
    exec,
    args: [...args],
    execArgv: [...execArgv, '--import', PRELOAD],
    stdio: ['inherit', 'inherit', 'inherit', 'ipc', 'pipe'],
  });
}
