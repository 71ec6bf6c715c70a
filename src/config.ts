import type { BudgetShares } from './budget.js';
import { type Clock, systemClock } from './clock.js';
import { checkOptions } from './config/check-options.js';
import { type EnvironmentSettings, readEnvironment } from './config/environment.js';
import type { NotifierSettings } from './config/notifier-settings.js';
import type { StoreSettings } from './config/store-settings.js';
import { DEFAULT_SIGNALS } from './config/values.js';
import type { DeliveryMode } from './delivery.js';
import { ShutdownError } from './errors.js';
import type { SealingKey } from './jobs/sealing.js';
import { type Logger, stderrLogger } from './logger.js';
import type { Notifier } from './notifier.js';
import {
  budgetOf,
  detectPlatform,
  LEAST_MARGIN_MS,
  PLATFORMS,
  type Platform,
  type PlatformName,
} from './platform.js';
import type { ProcessLike } from './process-like.js';
import { loadStore } from './safekeeping/store-loader.js';
import type { JobStore } from './store.js';
import type { MemoryWatchOptions } from './triggers/memory.js';

/** Options of a bus. Explicit options come before environment variables, those before the platform's defaults. */
export interface ShutdownBusOptions {
  /** Who reports. @default K_SERVICE, OTEL_SERVICE_NAME, npm_package_name, 'unknown-service' */
  readonly service?: string;
  /** Where this runs, when it cannot be recognised. @default recognised, see `PLATFORMS` */
  readonly platform?: PlatformName;
  /** Milliseconds from the trigger to the exit, 1 to 2³¹−1. @default the platform's grace period less 10 %, at least 250 ms */
  readonly budgetMs?: number;
  /** Milliseconds of `budgetMs` kept for delivery; no handler can use them. @default 30 % of budgetMs, at most 5000 */
  readonly reserveMs?: number;
  /** Milliseconds of `budgetMs` kept for the release phase. @default 10 % of budgetMs, at most 2000 */
  readonly releaseReserveMs?: number;
  /** Milliseconds between the abort of `job.signal` and the snapshot. @default 10 % of budgetMs, at most 2000 */
  readonly interruptGraceMs?: number;
  /** Signals that begin the shutdown. SIGQUIT is quick: it skips the drain. @default SIGTERM, SIGINT, SIGHUP, SIGQUIT */
  readonly signals?: readonly NodeJS.Signals[];
  /** Whether uncaughtException and unhandledRejection begin the shutdown. @default true */
  readonly fatalErrors?: boolean;
  /** Who is told about unfinished jobs. @default from the environment, else stdout */
  readonly notifiers?: readonly Notifier[];
  /** Every notifier gets every envelope, or the next only what the one before did not take. @default 'all' */
  readonly deliveryMode?: DeliveryMode;
  /**
   * Where open jobs are kept besides the process's own memory, so that a survivor can report them: `lmdbStore`, `redisStore`.
   * @default nowhere: memory
   */
  readonly store?: JobStore;
  /** Paths in payloads whose values never leave the process: `user.password`, `*.token`, `cards[*].number`. @default none */
  readonly redact?: readonly string[];
  /** Begin the shutdown while there is still memory to speak. @default false */
  readonly memory?: MemoryWatchOptions | false;
  /** Threads that report in place of a blocked event loop, and end the process at the deadline. @default true */
  readonly watchdog?: boolean;
  /** End the process when done, stdio flushed; or be told the code instead. @default true */
  readonly exit?: boolean | ((code: number) => void);
  /** How long drained servers keep serving after readiness is off, in milliseconds. @default the platform's: 5000 on Kubernetes, else 0 */
  readonly readinessDelayMs?: number;
  /** Where time comes from; tests inject one. @default the machine's */
  readonly clock?: Clock;
  /** Where the package says what it does. @default one line a fact on stderr */
  readonly logger?: Logger;
  /** The process whose signals, errors and exit are used; tests inject one. @default the real one */
  readonly process?: ProcessLike;
}

/** Every setting of a bus with its value. */
export interface ShutdownConfig extends BudgetShares {
  readonly service: string;
  readonly platform: Platform;
  readonly signals: readonly NodeJS.Signals[];
  readonly fatalErrors: boolean;
  /** Notifiers that were passed in, or the settings of those that are to be loaded. */
  readonly notifiers: readonly Notifier[] | undefined;
  readonly notifierSettings: readonly NotifierSettings[];
  readonly deliveryMode: DeliveryMode;
  readonly store: JobStore | undefined;
  /** The store as the environment describes it, where that is what is used: another thread can open it as well. */
  readonly storeSettings: StoreSettings | undefined;
  /** What payloads in a durable store are encrypted with; the first is used, the others still open what they sealed. */
  readonly storeKeys: readonly SealingKey[];
  readonly redact: readonly string[];
  readonly memory: MemoryWatchOptions | false;
  readonly watchdog: boolean;
  readonly exit: boolean | ((code: number) => void);
  readonly readinessDelayMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly process: ProcessLike;
  /** Environment variables that look like ours but are not. */
  readonly unknownVariables: readonly string[];
  /** Variables of a notifier that is not used. */
  readonly idleVariables: readonly string[];
}

/** The documented defaults that are plain values. */
export const DEFAULTS = Object.freeze({
  reserveShare: 0.3,
  mostReserveMs: 5000,
  releaseReserveShare: 0.1,
  mostReleaseReserveMs: 2000,
  interruptGraceShare: 0.1,
  mostInterruptGraceMs: 2000,
  signals: DEFAULT_SIGNALS,
  deliveryMode: 'all' as DeliveryMode,
  memoryLimit: '90%',
  memoryIntervalMs: 1000,
});

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Puts options, environment and platform together.
 * @throws {ShutdownError} `INVALID_OPTION` or `INVALID_ENVIRONMENT`, each listing everything that is wrong.
 */
export function resolveConfig(
  options: ShutdownBusOptions = {},
  env: Environment = process.env,
): ShutdownConfig {
  checkOptions(options);
  const settings = readEnvironment(env, {
    notifiers: options.notifiers === undefined,
    store: options.store === undefined,
  });
  const platform = options.platform === undefined ? detectPlatform(env) : PLATFORMS[options.platform];
  const shares = resolveShares(options, settings, platform);
  return {
    ...shares,
    service: options.service ?? settings.service ?? serviceName(env),
    platform,
    signals: options.signals ?? settings.signals ?? DEFAULTS.signals,
    fatalErrors: options.fatalErrors ?? true,
    notifiers: options.notifiers,
    notifierSettings: settings.notifiers ?? [{ kind: 'stdout', options: {} }],
    deliveryMode: options.deliveryMode ?? settings.deliveryMode ?? DEFAULTS.deliveryMode,
    store: options.store ?? (settings.store && loadStore(settings.store)),
    storeSettings: options.store === undefined ? settings.store : undefined,
    storeKeys: settings.storeKeys ?? [],
    redact: options.redact ?? settings.redact ?? [],
    memory: options.memory ?? settings.memory ?? false,
    watchdog: options.watchdog ?? true,
    exit: options.exit ?? true,
    readinessDelayMs: resolveReadinessDelay(options, settings, platform, shares),
    clock: options.clock ?? systemClock,
    logger: options.logger ?? stderrLogger,
    process: options.process ?? process,
    unknownVariables: settings.unknown,
    idleVariables: settings.idle,
  };
}

function serviceName(env: Environment): string {
  return env.K_SERVICE ?? env.OTEL_SERVICE_NAME ?? env.npm_package_name ?? 'unknown-service';
}

function resolveShares(
  options: ShutdownBusOptions,
  settings: EnvironmentSettings,
  platform: Platform,
): BudgetShares {
  const budgetMs = chooseBudget(options, settings, platform);
  const chosen = [
    options.reserveMs ?? settings.reserveMs,
    options.releaseReserveMs,
    options.interruptGraceMs,
  ];
  const usual = [
    Math.min(budgetMs * DEFAULTS.reserveShare, DEFAULTS.mostReserveMs),
    Math.min(budgetMs * DEFAULTS.releaseReserveShare, DEFAULTS.mostReleaseReserveMs),
    Math.min(budgetMs * DEFAULTS.interruptGraceShare, DEFAULTS.mostInterruptGraceMs),
  ];
  const sum = (list: readonly (number | undefined)[]) =>
    list.reduce<number>((total, ms) => total + (ms ?? 0), 0);
  const left = budgetMs - sum(chosen);
  if (left < 0) throw reservesError(options, budgetMs, chosen);
  // One that was chosen large makes the defaults of the others give way.
  const shrink = Math.min(1, left / sum(usual.filter((_, index) => chosen[index] === undefined)));
  const share = (index: number) => chosen[index] ?? Math.floor((usual[index] as number) * shrink);
  return { budgetMs, reserveMs: share(0), releaseReserveMs: share(1), interruptGraceMs: share(2) };
}

/** The budget that a bus with these options has. @throws {ShutdownError} `INVALID_ENVIRONMENT` */
export function resolveBudgetMs(
  options: Pick<ShutdownBusOptions, 'budgetMs' | 'platform'>,
  env: Environment = process.env,
): number {
  const settings = readEnvironment(env, { notifiers: false, store: false });
  return chooseBudget(
    options,
    settings,
    options.platform === undefined ? detectPlatform(env) : PLATFORMS[options.platform],
  );
}

function chooseBudget(
  { budgetMs }: Pick<ShutdownBusOptions, 'budgetMs'>,
  settings: EnvironmentSettings,
  platform: Platform,
): number {
  const chosen = budgetMs ?? settings.budgetMs;
  if (chosen !== undefined) return chosen;
  const { preStopMs = 0 } = settings;
  const most = platform.graceMs - LEAST_MARGIN_MS - 1;
  if (preStopMs <= most) return budgetOf(platform.graceMs - preStopMs);
  throw new ShutdownError(
    'INVALID_ENVIRONMENT',
    `SHUTDOWN_PRE_STOP_MS: got ${preStopMs}, allowed: at most ${most}, since the platform (${platform.name}) gives ` +
      `${platform.graceMs} ms in all; where it gives more, set SHUTDOWN_BUDGET_MS to what is left of it after the hook`,
  );
}

function reservesError(
  options: ShutdownBusOptions,
  budgetMs: number,
  [reserveMs = 0, releaseReserveMs = 0, interruptGraceMs = 0]: readonly (number | undefined)[],
): ShutdownError {
  const reserved = reserveMs + releaseReserveMs + interruptGraceMs;
  return new ShutdownError(
    codeOf(options),
    `the reserves do not fit into the budget: reserveMs ${reserveMs} + releaseReserveMs ${releaseReserveMs} + ` +
      `interruptGraceMs ${interruptGraceMs} = ${reserved} ms of budgetMs ${budgetMs}; make them smaller, or the budget ` +
      'larger (options or SHUTDOWN_BUDGET_MS, SHUTDOWN_RESERVE_MS)',
  );
}

function resolveReadinessDelay(
  options: ShutdownBusOptions,
  settings: EnvironmentSettings,
  platform: Platform,
  shares: BudgetShares,
): number {
  const free = shares.budgetMs - shares.reserveMs - shares.releaseReserveMs - shares.interruptGraceMs;
  const chosen = options.readinessDelayMs ?? settings.readinessDelayMs;
  if (chosen === undefined) return Math.min(platform.readinessDelayMs, Math.floor(free / 2));
  if (chosen <= free) return chosen;
  throw new ShutdownError(
    codeOf(options),
    `readinessDelayMs ${chosen} is longer than the ${free} ms that the reserves leave of budgetMs ${shares.budgetMs}`,
  );
}

/** Whom to blame when numbers do not fit together: the options, or the environment when no option says anything. */
function codeOf(options: ShutdownBusOptions): 'INVALID_OPTION' | 'INVALID_ENVIRONMENT' {
  const { budgetMs, reserveMs, releaseReserveMs, interruptGraceMs, readinessDelayMs } = options;
  const given = [budgetMs, reserveMs, releaseReserveMs, interruptGraceMs, readinessDelayMs];
  return given.some((ms) => ms !== undefined) ? 'INVALID_OPTION' : 'INVALID_ENVIRONMENT';
}
