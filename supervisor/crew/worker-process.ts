import cluster, { type Worker } from 'node:cluster';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { systemClock } from '../../src/clock.js';
import type { BlockedReport, LoopReport } from '../blocked-stack/memory.js';
import type { WorkerState, WorkerView } from '../events.js';
import { type EndOrder, ORDERS_VARIABLE, REPORTS_FD, read, type WorkerOrders, write } from '../messages.js';
import type { SuperviseSettings } from '../options.js';
import { signalsOfPrimary } from '../signals.js';
import { Silence } from './silence.js';

/** What a worker's process tells the supervisor. */
export interface WorkerListener {
  ready(worker: WorkerProcess): void;
  /** It ends, and nobody has asked it to. */
  leaving(worker: WorkerProcess): void;
  /** A worker has closed all of its servers. */
  closed(): void;
  /** It has served for as long, or as often, as it may. */
  worn(worker: WorkerProcess, why: string): void;
  blocked(worker: WorkerProcess, report: BlockedReport): void;
  silent(worker: WorkerProcess, silentMs: number, signal: NodeJS.Signals): void;
  ended(worker: WorkerProcess, code: number | null, signal: NodeJS.Signals | null): void;
}

/** Beats in the time after which a worker counts as silent, and the limits of their distance. */
const BEATS = { count: 25, leastMs: 20, mostMs: 250 } as const;

/** After so long it is said what blocks an event loop; earlier where its time is shorter. */
const MOST_BLOCKED_MS = 5000;

const WORN_AGAIN_MS = 30_000;

/** One worker, as its primary sees it. */
export class WorkerProcess {
  readonly id: number;
  readonly pid: number;
  readonly startedAt = new Date().toISOString();
  /** Resolves when its process is gone. */
  readonly ended: Promise<void>;
  /** Resolves when it is ready (`true`), or has ended before. */
  readonly started: Promise<boolean>;
  readonly #worker: Worker;
  readonly #settings: SuperviseSettings;
  readonly #listener: WorkerListener;
  readonly #silence: Silence;
  readonly #bornAt = systemClock.now();
  readonly #mostRequests: number;
  readonly #mostAgeMs: number;
  #hasStarted: (isReady: boolean) => void = () => {};
  #state: WorkerState = 'starting';
  #requests = 0;
  #instanceId: string | undefined;
  #hasSpoken = false;
  #isWorn = false;
  #isAsked = false;
  #hasClosed = false;
  #failure: Error | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    settings: SuperviseSettings,
    listener: WorkerListener,
    env: NodeJS.ProcessEnv,
    more: Pick<WorkerOrders, 'endMs' | 'logPrefix'>,
  ) {
    this.#settings = settings;
    this.#listener = listener;
    const beatMs = beatMsOf(settings.timeoutMs);
    this.#silence = new Silence(settings, systemClock, beatMs / 2);
    this.#mostRequests = jittered(settings.maxRequests, settings.jitter);
    this.#mostAgeMs = jittered(settings.maxAgeMs, settings.jitter);
    this.#worker = cluster.fork({
      ...env,
      [ORDERS_VARIABLE]: JSON.stringify({ ...ordersFor(settings, beatMs), ...more }),
    });
    this.id = this.#worker.id;
    this.pid = this.#worker.process.pid ?? 0;
    this.started = new Promise((resolve) => {
      this.#hasStarted = resolve;
    });
    this.ended = new Promise((resolve) => this.#listen(resolve));
    this.#timer = setInterval(() => this.#look(), beatMs / 2);
  }

  get state(): WorkerState {
    return this.#state;
  }

  /** Somebody has asked it to end. */
  get isAsked(): boolean {
    return this.#isAsked;
  }

  /** Milliseconds since its start. */
  get ageMs(): number {
    return systemClock.now() - this.#bornAt;
  }

  get view(): WorkerView {
    const { id, pid, state, startedAt } = this;
    return Object.freeze({ id, pid, state, startedAt, requests: this.#requests });
  }

  /** Of its bus, as far as it has told. */
  get instanceId(): string | undefined {
    return this.#instanceId;
  }

  /** Why there never was a process. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** All of its servers have closed. */
  get hasClosed(): boolean {
    return this.#hasClosed;
  }

  /** So have all others. */
  allClosed(): void {
    if (this.#worker.isConnected()) this.#worker.send(write({ type: 'all-closed' }), undefined, () => {});
  }

  /** Asks it to end. It decides how, within its own budget. */
  ask(signal: NodeJS.Signals): void {
    this.#leave();
    if (this.#worker.isConnected()) this.#worker.send(write({ type: 'asked' }), undefined, () => {});
    this.signal(signal);
  }

  /** Asks it to end in a certain way. */
  order(order: Omit<EndOrder, 'type'>): void {
    this.#leave();
    // Before its first sign of life nobody in it listens: a message would be lost, and it would serve until it is killed.
    if (!this.#hasSpoken || !this.#worker.isConnected()) {
      this.signal(order.signal);
      return;
    }
    this.#worker.send(write({ type: 'end', ...order }), undefined, (error) => {
      if (error) this.signal(order.signal);
    });
  }

  /** Its replacement did not come to be: it is told again that it is worn, later. */
  wearOn(): void {
    if (this.#isAsked) return;
    setTimeout(() => {
      this.#isWorn = false;
    }, WORN_AGAIN_MS).unref();
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#state === 'ended') return;
    try {
      this.#worker.process.kill(signal);
    } catch {
      // Windows knows only some of them.
      this.#worker.process.kill('SIGKILL');
    }
  }

  #listen(hasEnded: () => void): void {
    this.#worker.on('message', (message: unknown) => this.#hear(message));
    this.#listenToThread();
    this.#worker.on('listening', () => {
      if (this.#settings.ready === 'listening') this.#becomeReady();
    });
    // What goes wrong with its channel shows in its end.
    this.#worker.on('error', () => {});
    const end = (code: number | null, signal: NodeJS.Signals | null) => {
      if (this.#state === 'ended') return;
      this.#state = 'ended';
      clearInterval(this.#timer);
      this.#hasStarted(false);
      this.#listener.ended(this, code, signal);
      hasEnded();
    };
    this.#worker.on('exit', (code: number | null, signal: string | null) =>
      end(code, signal as NodeJS.Signals),
    );
    this.#worker.process.once('error', (error: Error) => {
      if (this.#worker.process.pid !== undefined) return;
      this.#failure = error;
      // Only an exit would do it.
      delete cluster.workers?.[this.id];
      end(null, null);
    });
  }

  /** What a thread says while the main one is blocked cannot come by messages. */
  #listenToThread(): void {
    // Without any where it could not be started.
    const stdio: readonly unknown[] | undefined = this.#worker.process.stdio;
    const pipe = stdio?.[REPORTS_FD] as Readable | undefined;
    if (!pipe) return;
    pipe.on('error', () => {});
    createInterface({ input: pipe }).on('line', (line) => {
      const report = JSON.parse(line) as LoopReport;
      if ('blockedMs' in report) this.#listener.blocked(this, report);
    });
  }

  #leave(): void {
    this.#isAsked = true;
    if (this.#state !== 'ended') this.#state = 'stopping';
    // Whoever ends it knows how long that may take.
    clearInterval(this.#timer);
  }

  #hear(message: unknown): void {
    if (message === 'ready') this.#becomeReady();
    if (read('stopping', message) && !this.#isAsked) {
      // It has its own time limit, and is still watched for silence.
      this.#state = 'stopping';
      this.#hasStarted(false);
      this.#listener.leaving(this);
    }
    if (read('closed', message)) {
      this.#hasClosed = true;
      this.#listener.closed();
    }
    const beat = read('beat', message);
    if (beat === undefined) return;
    this.#hasSpoken = true;
    this.#silence.heard();
    this.#requests = beat.requests;
    this.#instanceId = beat.instanceId ?? this.#instanceId;
    const { ready } = this.#settings;
    if (ready === 'started' ? beat.isLoaded : beat.isListening) this.#becomeReady();
  }

  #becomeReady(): void {
    if (this.#state !== 'starting') return;
    this.#state = 'ready';
    this.#silence.heard();
    this.#hasStarted(true);
    this.#listener.ready(this);
  }

  #look(): void {
    if (this.#state === 'starting') {
      this.#lookAtStart();
      return;
    }
    const due = this.#silence.look();
    if (due !== undefined) {
      // It may still clean up; it serves nobody any more.
      this.#state = 'stopping';
      this.#listener.silent(this, Math.round(this.#silence.ms), due);
      this.signal(due);
    } else this.#lookAtWear();
  }

  #lookAtStart(): void {
    const { ageMs } = this;
    if (ageMs < this.#settings.startTimeoutMs) return;
    clearInterval(this.#timer);
    this.#listener.silent(this, Math.round(ageMs), 'SIGKILL');
    this.signal('SIGKILL');
  }

  #lookAtWear(): void {
    if (this.#isWorn || this.#state !== 'ready') return;
    const why =
      this.#requests >= this.#mostRequests
        ? `${this.#requests} requests`
        : this.ageMs >= this.#mostAgeMs
          ? `${Math.round(this.ageMs)} ms of age`
          : undefined;
    if (why === undefined) return;
    this.#isWorn = true;
    this.#listener.worn(this, why);
  }
}

function beatMsOf(timeoutMs: number): number {
  if (timeoutMs === 0) return BEATS.mostMs;
  return Math.max(BEATS.leastMs, Math.min(BEATS.mostMs, timeoutMs / BEATS.count));
}

/** Workers that were started together should not be replaced together. */
function jittered(most: number | undefined, jitter: number): number {
  return most === undefined ? Number.POSITIVE_INFINITY : most * (1 - jitter * Math.random());
}

function ordersFor(settings: SuperviseSettings, beatMs: number): Omit<WorkerOrders, 'endMs' | 'logPrefix'> {
  const { timeoutMs, killGapMs, blockedStack, drainOnTerm, readinessPath, livenessPath } = settings;
  const blockedMs = timeoutMs === 0 ? MOST_BLOCKED_MS : Math.min(MOST_BLOCKED_MS, timeoutMs / 2);
  return {
    beatMs,
    drainBacklog: drainOnTerm,
    ignored: signalsOfPrimary(settings),
    readinessPath,
    livenessPath,
    ...(blockedStack && { blockedMs, ...(timeoutMs > 0 && { abandonedMs: timeoutMs + killGapMs }) }),
  };
}
