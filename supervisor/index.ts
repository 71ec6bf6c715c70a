import cluster from 'node:cluster';
import { ShutdownError } from '../src/index.js';
import { checkProgram } from './check-options.js';
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
  const settings = resolveOptions(options);
  checkProgram(settings.exec);
  return new Supervisor(settings);
}

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
