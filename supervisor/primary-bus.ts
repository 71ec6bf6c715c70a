import { join } from 'node:path';
import { DEFAULTS, resolveBudgetMs } from '../src/config.js';
import { isShutdownError, messageOf } from '../src/errors.js';
import { createShutdownBus, type JobStore, type ShutdownBus } from '../src/index.js';
import { loggerOf } from '../src/logger.js';
import { loadStore } from '../src/safekeeping/store-loader.js';
import type { SuperviseSettings } from './options.js';
import { shareBudget } from './shares.js';
import { nameOf, stateFolder } from './state-folder.js';

/** The primary's side of one shutdown. */
export interface Primary {
  readonly bus: ShutdownBus;
  /** What each worker has in its environment, besides what the primary has. */
  readonly workerEnv: Readonly<Record<string, string>>;
  /** Milliseconds from the signal that asks one worker to end, while the service goes on, to SIGKILL. */
  readonly endMs: number;
  /** Milliseconds kept of a stop for SIGKILL to do its work. */
  readonly killMs: number;
}

/** Without SIGHUP, which a terminal sends to all when it closes: a primary takes it for a reload. With SIGABRT, the first stage of a timeout. */
const WORKER_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGABRT'];
/** Between a worker's own deadline and SIGKILL. */
const LATE_MS = 500;

/**
 * Makes the primary's bus, and what workers are told by their environment.
 * @param workersCode the exit code that the workers have earned.
 * @throws {ShutdownError} `INVALID_OPTION`, `INVALID_ENVIRONMENT`.
 */
export function createPrimaryBus(settings: SuperviseSettings, workersCode: () => number): Primary {
  const options = settings.bus;
  const shares = shareBudget(resolveBudgetMs(options));
  const place = options.store === undefined ? placeForJobs(settings.exec, process.env) : undefined;
  const bus = createShutdownBus({
    ...options,
    budgetMs: shares.budgetMs,
    reserveMs: shares.reserveMs,
    releaseReserveMs: shares.releaseReserveMs,
    interruptGraceMs: 0,
    readinessDelayMs: 0,
    memory: false,
    signals: ['SIGTERM', 'SIGINT', 'SIGQUIT'],
    ...(place?.store && { store: place.store }),
  });
  bus.blame(() => {
    const code = workersCode();
    return code > 0 ? { code, whose: `what the workers ended with: ${code}` } : undefined;
  });
  if (place?.missing) loggerOf(bus).warn(place.missing);
  const defaults = {
    SHUTDOWN_SERVICE: bus.config.service,
    ...(place?.path && { SHUTDOWN_STORE: `lmdb:${place.path}` }),
  };
  const unset = Object.entries(defaults).filter(([name]) => !process.env[name]);
  const workerEnv = {
    ...Object.fromEntries(unset),
    SHUTDOWN_SIGNALS: withOurs(process.env.SHUTDOWN_SIGNALS),
    SHUTDOWN_BUDGET_MS: String(shares.workerBudgetMs),
    ...fitInto(shares.workerBudgetMs, process.env),
    ...settings.env,
  };
  return { bus, workerEnv, endMs: shares.workerBudgetMs + LATE_MS, killMs: shares.killMs };
}

interface PlaceForJobs {
  readonly path?: string;
  readonly store?: JobStore;
  /** Why there is none. */
  readonly missing?: string;
}

/** Where workers keep their jobs when nobody says where: what one of them leaves, its primary finds. */
function placeForJobs(exec: string, env: NodeJS.ProcessEnv): PlaceForJobs | undefined {
  if (env.SHUTDOWN_STORE !== undefined && env.SHUTDOWN_STORE !== '') return undefined;
  const load = (path: string) => loadStore({ kind: 'lmdb', options: { path } });
  try {
    // Without the package nobody needs a folder.
    load('anywhere');
    const path = join(stateFolder(env), nameOf(exec), 'jobs');
    return { path, store: load(path) };
  } catch (error) {
    const why = isShutdownError(error, 'PACKAGE_MISSING') ? 'lmdb is not installed' : messageOf(error);
    const cure = 'install it, or set SHUTDOWN_STORE (=memory, to say that none is wanted)';
    return { missing: `the jobs of a worker that is killed go with it: ${why}; ${cure}` };
  }
}

/** Whatever else a service wants to hear: by these its primary speaks to it. */
function withOurs(text: string | undefined): string {
  const own = (text ?? '').split(',').map((name) => name.trim());
  return [...new Set([...WORKER_SIGNALS, ...own.filter((name) => name !== '')])].join(',');
}

/** What was set for the whole budget may be more than a worker has of it. */
function fitInto(budgetMs: number, env: NodeJS.ProcessEnv): Record<string, string> {
  const reserveMs = Math.min(Number(env.SHUTDOWN_RESERVE_MS ?? budgetMs * DEFAULTS.reserveShare), budgetMs);
  const { releaseReserveShare, interruptGraceShare } = DEFAULTS;
  const freeMs = Math.max(0, budgetMs * (1 - releaseReserveShare - interruptGraceShare) - reserveMs);
  const most = { SHUTDOWN_RESERVE_MS: budgetMs, SHUTDOWN_READINESS_DELAY_MS: Math.floor(freeMs) };
  const tooMuch = Object.entries(most).filter(([name, ms]) => Number(env[name] ?? 0) > ms);
  return Object.fromEntries(tooMuch.map(([name, ms]) => [name, String(ms)]));
}
