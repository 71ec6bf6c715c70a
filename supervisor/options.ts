import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { MAX_TIMER_MS } from '../src/clock.js';
import { isCatchable } from '../src/config/values.js';
import { misspelt, type OptionNames, show } from '../src/errors.js';
import { type ShutdownBusOptions, ShutdownError } from '../src/index.js';

/** What the primary's own bus may be told; its triggers and its handlers are the supervisor's business. */
export type PrimaryBusOptions = Pick<
  ShutdownBusOptions,
  'service' | 'platform' | 'budgetMs' | 'notifiers' | 'deliveryMode' | 'store' | 'redact' | 'logger' | 'exit'
>;

/** Options of {@link supervise}. */
export interface SuperviseOptions extends PrimaryBusOptions {
  /** The program that each worker runs, a path. */
  readonly exec: string;
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
  /** Signals that begin a rolling reload. @default SIGHUP, SIGUSR2 */
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
  startTimeoutMs: 30_000,
  ready: 'listening' as const,
  drainOnTerm: true,
  jitter: 0.1,
  failSafeMs: 300_000,
  reloadSignals: Object.freeze(['SIGHUP', 'SIGUSR2'] as const) as readonly NodeJS.Signals[],
  unhurriedSignals: Object.freeze(['SIGWINCH'] as const) as readonly NodeJS.Signals[],
});

const MOST_WORKERS = 1024;
const LEAST_TIMEOUT_MS = 100;
const LEAST_AGE_MS = 1000;
/** They end the service, scale it, or cannot be had. */
const TAKEN = new Set<NodeJS.Signals>(['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGTTIN', 'SIGTTOU']);

const NAMES: OptionNames<SuperviseOptions> = {
  exec: true,
  args: true,
  execArgv: true,
  env: true,
  workers: true,
  timeoutMs: true,
  gracefulTimeoutMs: true,
  killGapMs: true,
  startTimeoutMs: true,
  ready: true,
  drainOnTerm: true,
  maxRequests: true,
  maxAgeMs: true,
  jitter: true,
  failSafeMs: true,
  reloadSignals: true,
  unhurriedSignals: true,
  readinessPath: true,
  livenessPath: true,
  control: true,
  service: true,
  platform: true,
  budgetMs: true,
  notifiers: true,
  deliveryMode: true,
  store: true,
  redact: true,
  logger: true,
  exit: true,
};

/**
 * Fills in the defaults.
 * @throws {ShutdownError} `INVALID_OPTION`, listing everything that is wrong; `INVALID_ENVIRONMENT`.
 */
export function resolveOptions(options: SuperviseOptions, env = process.env): SuperviseSettings {
  refuse(options);
  const D = SUPERVISE_DEFAULTS;
  return {
    exec: resolve(options.exec),
    args: options.args ?? [],
    execArgv: options.execArgv ?? process.execArgv,
    env: options.env ?? {},
    workers: options.workers ?? workersFrom(env),
    timeoutMs: options.timeoutMs ?? D.timeoutMs,
    gracefulTimeoutMs: options.gracefulTimeoutMs,
    killGapMs: options.killGapMs ?? D.killGapMs,
    startTimeoutMs: options.startTimeoutMs ?? D.startTimeoutMs,
    ready: options.ready ?? D.ready,
    drainOnTerm: options.drainOnTerm ?? D.drainOnTerm,
    maxRequests: options.maxRequests,
    maxAgeMs: options.maxAgeMs,
    jitter: options.jitter ?? D.jitter,
    failSafeMs: Math.min(options.failSafeMs ?? D.failSafeMs, MAX_TIMER_MS),
    reloadSignals: options.reloadSignals ?? D.reloadSignals,
    unhurriedSignals: options.unhurriedSignals ?? D.unhurriedSignals,
    readinessPath: options.readinessPath,
    livenessPath: options.livenessPath,
    control: options.control,
    bus: busOptions(options),
  };
}

function busOptions(options: SuperviseOptions): PrimaryBusOptions {
  const { service, platform, budgetMs, notifiers, deliveryMode, store, redact, logger, exit } = options;
  const all = { service, platform, budgetMs, notifiers, deliveryMode, store, redact, logger, exit };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** @throws {ShutdownError} `INVALID_ENVIRONMENT` */
function workersFrom({ WEB_CONCURRENCY: text }: NodeJS.ProcessEnv): number {
  if (text === undefined || text === '') return availableParallelism();
  const problem = checkWhole('WEB_CONCURRENCY', Number(text), 1, MOST_WORKERS);
  if (problem !== undefined)
    throw new ShutdownError('INVALID_ENVIRONMENT', `${problem}; it says how many workers there are`);
  return Number(text);
}

type Problem = string | undefined;

/** @throws {ShutdownError} `INVALID_OPTION` */
function refuse(options: SuperviseOptions): void {
  const found = problemsOf(options).filter((problem) => problem !== undefined);
  if (found.length === 0) return;
  throw new ShutdownError('INVALID_OPTION', `the options of supervise are not usable: ${found.join('; ')}`);
}

function problemsOf(options: SuperviseOptions): Problem[] {
  const { timeoutMs, failSafeMs, ready, jitter } = options;
  return [
    misspelt(options, NAMES),
    checkText('exec', options.exec, 'the path of the program that workers run'),
    checkTexts('args', options.args),
    checkTexts('execArgv', options.execArgv),
    checkWorkers('workers', options.workers),
    timeoutMs === 0 ? undefined : checkMs('timeoutMs', timeoutMs, LEAST_TIMEOUT_MS, '; or 0: never'),
    checkMs('gracefulTimeoutMs', options.gracefulTimeoutMs, 0),
    checkStages(options),
    checkMs('killGapMs', options.killGapMs, 0),
    checkMs('startTimeoutMs', options.startTimeoutMs, 1),
    ready === undefined || ready === 'listening' || ready === 'started'
      ? undefined
      : `ready is ${show(ready)}, allowed: 'listening' or 'started'`,
    checkFlag('drainOnTerm', options.drainOnTerm),
    checkWhole('maxRequests', options.maxRequests, 1, Number.MAX_SAFE_INTEGER),
    checkMs('maxAgeMs', options.maxAgeMs, LEAST_AGE_MS),
    jitter === undefined || (typeof jitter === 'number' && jitter >= 0 && jitter <= 1)
      ? undefined
      : `jitter is ${show(jitter)}, allowed: 0 to 1`,
    failSafeMs === Number.POSITIVE_INFINITY
      ? undefined
      : checkMs('failSafeMs', failSafeMs, 1, ', or Infinity'),
    checkSignals('reloadSignals', options.reloadSignals),
    checkSignals('unhurriedSignals', options.unhurriedSignals),
    checkPath('readinessPath', options.readinessPath),
    checkPath('livenessPath', options.livenessPath),
    options.control === false || options.control === undefined
      ? undefined
      : checkText('control', options.control, 'the path of a socket, or false'),
  ];
}

function checkStages({
  timeoutMs = SUPERVISE_DEFAULTS.timeoutMs,
  gracefulTimeoutMs,
}: SuperviseOptions): Problem {
  if (gracefulTimeoutMs === undefined || !(gracefulTimeoutMs < timeoutMs)) return undefined;
  return (
    `gracefulTimeoutMs ${gracefulTimeoutMs} is smaller than timeoutMs ${timeoutMs}, and both count from the beginning of the ` +
    'silence; the time that a stop may take is budgetMs'
  );
}

/** @returns what is wrong with a number of workers, and what is allowed. */
export function checkWorkers(name: string, value: unknown): Problem {
  return checkWhole(name, value, 1, MOST_WORKERS);
}

function checkText(name: string, value: unknown, allowed: string): Problem {
  return typeof value === 'string' && value !== ''
    ? undefined
    : `${name} is ${show(value)}, allowed: ${allowed}`;
}

function checkTexts(name: string, value: unknown): Problem {
  if (value === undefined || (Array.isArray(value) && value.every((one) => typeof one === 'string')))
    return undefined;
  return `${name} is ${show(value)}, allowed: a list of texts`;
}

function checkFlag(name: string, value: unknown): Problem {
  if (value === undefined || typeof value === 'boolean') return undefined;
  return `${name} is ${show(value)}, allowed: true or false`;
}

function checkWhole(name: string, value: unknown, least: number, most: number): Problem {
  if (value === undefined) return undefined;
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most)
    return undefined;
  return `${name} is ${show(value)}, allowed: whole numbers from ${least} to ${most}`;
}

function checkMs(name: string, ms: unknown, least: number, more = ''): Problem {
  if (ms === undefined || (typeof ms === 'number' && ms >= least && ms <= MAX_TIMER_MS)) return undefined;
  return `${name} is ${show(ms)}, allowed: milliseconds from ${least} to ${MAX_TIMER_MS}${more}`;
}

function checkSignals(name: string, signals: unknown): Problem {
  if (signals === undefined) return undefined;
  if (!Array.isArray(signals)) return `${name} is ${show(signals)}, allowed: a list such as ['SIGHUP']`;
  const wrong = signals.filter((signal) => !isCatchable(String(signal)) || TAKEN.has(signal));
  if (wrong.length === 0) return undefined;
  return `${name} has ${wrong.map(show).join(', ')}, allowed: names that can be caught, but for ${[...TAKEN].join(', ')}`;
}

function checkPath(name: string, path: unknown): Problem {
  if (path === undefined || (typeof path === 'string' && /^\/[^?#\s]*$/.test(path))) return undefined;
  return `${name} is ${show(path)}, allowed: a path such as '/readyz', without a query`;
}
