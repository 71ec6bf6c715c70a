import { join } from 'node:path';
import { resolveBudgetMs } from '../src/config.js';
import { isShutdownError } from '../src/errors.js';
import { createShutdownBus, type JobStore, type ShutdownBus } from '../src/index.js';
import { loggerOf } from '../src/logger.js';
import { loadStore } from '../src/store-loader.js';
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
}

/** Without SIGHUP, which a terminal sends to all when it closes: a primary takes it for a reload. With SIGABRT, the first stage of a timeout. */
const WORKER_SIGNALS = 'SIGTERM,SIGINT,SIGQUIT,SIGABRT';
/** Between a worker's own deadline and SIGKILL. */
const LATE_MS = 500;

/**
 * Makes the primary's bus, and what workers are told by their environment.
 * @param workersCode the exit code that the workers have earned.
 * @throws {ShutdownError} `INVALID_OPTION`, `INVALID_ENVIRONMENT`.
 */
export function createPrimaryBus(settings: SuperviseSettings, workersCode: () => number): Primary {
  const { exit = true, ...options } = settings.bus;
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
    exit: exit && ((code) => leave(Math.max(code, workersCode()), exit)),
  });
  if (place?.missing) loggerOf(bus).warn(place.missing);
  const defaults = {
    SHUTDOWN_SIGNALS: WORKER_SIGNALS,
    SHUTDOWN_SERVICE: bus.config.service,
    ...(place?.path && { SHUTDOWN_STORE: `lmdb:${place.path}` }),
  };
  const unset = Object.entries(defaults).filter(([name]) => process.env[name] === undefined);
  const workerEnv = {
    ...Object.fromEntries(unset),
    SHUTDOWN_BUDGET_MS: String(shares.workerBudgetMs),
    ...settings.env,
  };
  return { bus, workerEnv, endMs: shares.workerBudgetMs + LATE_MS };
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
  const path = join(stateFolder(env), nameOf(exec), 'jobs');
  try {
    return { path, store: loadStore({ kind: 'lmdb', options: { path } }) };
  } catch (error) {
    if (!isShutdownError(error, 'PACKAGE_MISSING')) throw error;
    return {
      missing:
        'the jobs of a worker that is killed go with it: nothing keeps them; install lmdb, or set SHUTDOWN_STORE (=memory, to say that none is wanted)',
    };
  }
}

function leave(code: number, exit: true | ((code: number) => void)): void {
  if (exit === true) process.exit(code);
  exit(code);
}
