import cluster from 'node:cluster';
import { ShutdownError } from '../src/index.js';
import { loggerOf, stderrLogger } from '../src/logger.js';
import { checkProgram } from './check-options.js';
import { beInit } from './manners/init.js';
import { warnOfParent } from './manners/npm-parent.js';
import { resolveOptions, type SuperviseOptions } from './options.js';
import { Supervisor } from './supervisor.js';

/**
 * Makes this process a primary with workers that share its ports, on node:cluster.
 *
 * ```
 * SIGTERM            workers get it once, empty the shared backlog, finish and leave; then the primary
 * SIGINT, SIGQUIT    the same, quickly
 * SIGHUP, SIGUSR2    a rolling reload: a new worker is ready before an old one leaves
 * SIGTTIN, SIGTTOU   one worker more, one less
 * SIGWINCH           ends without a limit but the fail-safe; off on a terminal
 * ```
 *
 * The program of the workers needs nothing of this package: its servers are drained all the same.
 * @throws {ShutdownError} `INVALID_OPTION`, `INVALID_ENVIRONMENT`.
 */
export function supervise(options: SuperviseOptions): Supervisor {
  if (!cluster.isPrimary)
    throw new ShutdownError(
      'INVALID_OPTION',
      'supervise was called in a worker: the program that workers run (exec) must not be the one that supervises them',
    );
  if (Object.keys(cluster.workers ?? {}).length > 0)
    throw new ShutdownError(
      'INVALID_OPTION',
      'supervise was called while this process has workers already, and node:cluster knows one program for all of them; call it once, and fork no workers yourself',
    );
  const settings = resolveOptions(options);
  checkProgram(settings.exec);
  const log = settings.bus.logger ?? stderrLogger;
  // Before anything else: without koffi a shell takes the place of process 1 and starts this program once more.
  beInit(log);
  const supervisor = new Supervisor(settings);
  warnOfParent(loggerOf(supervisor.bus));
  return supervisor;
}

export type { BlockedReport } from './blocked-stack/memory.js';
export type {
  ReloadReport,
  SupervisorEvents,
  SupervisorState,
  WorkerEnding,
  WorkerState,
  WorkerView,
} from './events.js';
export { SUPERVISE_DEFAULTS, type SuperviseOptions } from './options.js';
export type { StopOptions, Supervisor } from './supervisor.js';
