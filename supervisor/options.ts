import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MAX_TIMER_MS } from '../src/clock.js';
import { type ShutdownBusOptions, ShutdownError } from '../src/index.js';
import { checkOptions, checkWorkers } from './check-options.js';
import { given } from './given.js';

/** What the primary's own bus may be told; its triggers and its handlers are the supervisor's business. */
export type PrimaryBusOptions = Pick<
  ShutdownBusOptions,
  'service' | 'platform' | 'budgetMs' | 'notifiers' | 'deliveryMode' | 'store' | 'redact' | 'logger' | 'exit'
>;

/** Options of {@link supervise}. */
export interface SuperviseOptions extends PrimaryBusOptions {
  /** The program that each worker runs: its path, from the working directory, or a `file:` URL. */
  readonly exec: string | URL;
  /** Its arguments. @default none */
  readonly args?: readonly string[];
  /** Options of Node for each worker. @default those of this process */
  readonly execArgv?: readonly string[];
  /** Variables for each worker, besides those of this process. @default none */
  readonly env?: Readonly<Record<string, string>>;
  /** How many workers there are, 1 to 1024. @default WEB_CONCURRENCY, else one a processor */
  readonly workers?: number;
  /**
   * Milliseconds after which a worker whose event loop gives no sign of life gets SIGABRT, 100 to 2³¹−1; 0: never.
   * @default 30000
   */
  readonly timeoutMs?: number;
  /**
   * Milliseconds of the same silence after which it gets SIGTERM on top, counted from its beginning as well; not smaller than
   * `timeoutMs`. SIGKILL follows the last of the two by `killGapMs`.
   * @default no SIGTERM
   */
  readonly gracefulTimeoutMs?: number;
  /** Milliseconds between the last signal to a silent worker and SIGKILL. @default 2000 */
  readonly killGapMs?: number;
  /**
   * A thread in each worker says on stderr what has blocked its event loop for half of `timeoutMs`, at most 5 s: with the stack,
   * and before any signal is sent. @default true
   */
  readonly blockedStack?: boolean;
  /** Milliseconds a worker has from its start until it is ready. @default 30000 */
  readonly startTimeoutMs?: number;
  /**
   * What makes a worker ready: its first server listens, or its event loop turns, for workers that serve nobody. The message `ready`,
   * by `process.send`, makes it ready in any case.
   * @default 'listening'
   */
  readonly ready?: 'listening' | 'started';
  /** Whether workers empty the shared backlog before they stop. @default true */
  readonly drainOnTerm?: boolean;
  /** A worker is replaced after so many requests, 1 to 2⁵³−1; one that is ready first. @default never */
  readonly maxRequests?: number;
  /** A worker is replaced at this age in milliseconds, 1000 to 2³¹−1. @default never */
  readonly maxAgeMs?: number;
  /** By how much of `maxRequests` and `maxAgeMs` a worker's own limit may be smaller, 0 to 1: not all go together. @default 0.1 */
  readonly jitter?: number;
  /** Milliseconds that a stop without haste may take, which has no other limit; `Infinity` for none at all. @default 300000 */
  readonly failSafeMs?: number;
  /** Signals that begin a rolling reload; not SIGUSR1, which opens Node's inspector. @default SIGHUP, SIGUSR2 */
  readonly reloadSignals?: readonly NodeJS.Signals[];
  /** Signals that begin a stop without haste. On a terminal SIGWINCH says that the window has changed, and does nothing. @default SIGWINCH */
  readonly unhurriedSignals?: readonly NodeJS.Signals[];
  /** GET on this path is answered in servers that the application does not drain itself: 200, and 503 once they stop. @default not intercepted */
  readonly readinessPath?: string;
  /** GET on this path is answered there with 200 as long as the worker can. @default not intercepted */
  readonly livenessPath?: string;
  /**
   * A unix socket, mode 0600, through which `shutdown-bus ctl` asks and commands; `false` for none.
   * @default one in the user's runtime folder, named after the program
   */
  readonly control?: string | false;
}

/** {@link SuperviseOptions} with every value filled in. */
export interface SuperviseSettings {
  readonly exec: string;
  readonly args: readonly string[];
  readonly execArgv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workers: number;
  readonly timeoutMs: number;
  readonly gracefulTimeoutMs: number | undefined;
  readonly killGapMs: number;
  readonly blockedStack: boolean;
  readonly startTimeoutMs: number;
  readonly ready: 'listening' | 'started';
  readonly drainOnTerm: boolean;
  readonly maxRequests: number | undefined;
  readonly maxAgeMs: number | undefined;
  readonly jitter: number;
  readonly failSafeMs: number;
  readonly reloadSignals: readonly NodeJS.Signals[];
  readonly unhurriedSignals: readonly NodeJS.Signals[];
  readonly readinessPath: string | undefined;
  readonly livenessPath: string | undefined;
  readonly control: string | false | undefined;
  readonly bus: PrimaryBusOptions;
}

/** The documented defaults that are plain values. */
export const SUPERVISE_DEFAULTS = Object.freeze({
  timeoutMs: 30_000,
  killGapMs: 2000,
  blockedStack: true,
  startTimeoutMs: 30_000,
  ready: 'listening' as const,
  drainOnTerm: true,
  jitter: 0.1,
  failSafeMs: 300_000,
  reloadSignals: Object.freeze(['SIGHUP', 'SIGUSR2'] as const) as readonly NodeJS.Signals[],
  unhurriedSignals: Object.freeze(['SIGWINCH'] as const) as readonly NodeJS.Signals[],
});

/**
 * Fills in the defaults.
 * @throws {ShutdownError} `INVALID_OPTION`, listing everything that is wrong; `INVALID_ENVIRONMENT`.
 */
export function resolveOptions(options: SuperviseOptions, env = process.env): SuperviseSettings {
  const D = SUPERVISE_DEFAULTS;
  checkOptions(options, D);
  return {
    exec: options.exec instanceof URL ? fileURLToPath(options.exec) : resolve(options.exec),
    args: options.args ?? [],
    execArgv: options.execArgv ?? process.execArgv,
    env: options.env ?? {},
    workers: options.workers ?? workersFrom(env),
    timeoutMs: options.timeoutMs ?? D.timeoutMs,
    gracefulTimeoutMs: options.gracefulTimeoutMs,
    killGapMs: options.killGapMs ?? D.killGapMs,
    blockedStack: options.blockedStack ?? D.blockedStack,
    startTimeoutMs: options.startTimeoutMs ?? D.startTimeoutMs,
    ready: options.ready ?? D.ready,
    drainOnTerm: options.drainOnTerm ?? D.drainOnTerm,
    maxRequests: options.maxRequests,
    maxAgeMs: options.maxAgeMs,
    jitter: options.jitter ?? D.jitter,
    failSafeMs: Math.min(options.failSafeMs ?? D.failSafeMs, MAX_TIMER_MS),
    reloadSignals: [...new Set(options.reloadSignals ?? D.reloadSignals)],
    unhurriedSignals: [...new Set(options.unhurriedSignals ?? D.unhurriedSignals)],
    readinessPath: options.readinessPath,
    livenessPath: options.livenessPath,
    control: options.control,
    bus: busOptions(options),
  };
}

function busOptions(options: SuperviseOptions): PrimaryBusOptions {
  const { service, platform, budgetMs, notifiers, deliveryMode, store, redact, logger, exit } = options;
  return given({ service, platform, budgetMs, notifiers, deliveryMode, store, redact, logger, exit });
}

/** @throws {ShutdownError} `INVALID_ENVIRONMENT` */
function workersFrom({ WEB_CONCURRENCY: text }: NodeJS.ProcessEnv): number {
  if (text === undefined || text === '') return availableParallelism();
  // Anything else as it was written: a problem with NaN tells nobody what to look for.
  const workers = /^\d+$/.test(text) ? Number(text) : text;
  const problem = checkWorkers('WEB_CONCURRENCY', workers);
  if (problem !== undefined)
    throw new ShutdownError('INVALID_ENVIRONMENT', `${problem}; it says how many workers there are`);
  return Number(workers);
}
