import type { ShutdownReason } from '../src/index.js';
import type { PlatformName } from '../src/platform.js';
import { readControlGroups, readProcess } from './process-table.js';

/** Where a service and its child are. */
export interface Surroundings {
  readonly platform: PlatformName;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly childPid: number;
  /** Of the primary, where this process is a worker. */
  readonly primaryPid?: number | undefined;
  /** Its primary has asked this process to end, and nobody else. */
  readonly isAskedAlone?: boolean;
  /** What asks the child to end. */
  readonly signal: NodeJS.Signals;
}

/** Of a terminal's keys, and of its end. */
const TERMINAL_SIGNALS = new Set<NodeJS.Signals>(['SIGINT', 'SIGQUIT', 'SIGHUP']);

/**
 * Whether whoever sent the signal that began the shutdown has sent it to the child as well.
 *
 * ```
 * a terminal   Ctrl-C, Ctrl-\, hang-up: everybody in its foreground group
 * systemd      SIGTERM: everybody in the unit's control group, workers and their children too, unless its KillMode says otherwise
 * Heroku       SIGTERM: every process of the dyno
 * ```
 *
 * KillMode=mixed, and a SIGTERM that somebody sends to the service alone, look the same from here.
 */
export function isSignalShared(reason: ShutdownReason, where: Surroundings): boolean {
  if (reason.kind !== 'signal' || where.isAskedAlone) return false;
  if (reason.signal === 'SIGTERM') return isTermShared(where);
  return TERMINAL_SIGNALS.has(reason.signal) && isInForeground(where);
}

function isTermShared({ platform, env, pid, childPid, primaryPid, signal }: Surroundings): boolean {
  // SIGTERM is not what ends such a child, whoever has sent it.
  if (signal !== 'SIGTERM') return false;
  if (platform === 'heroku') return true;
  // Everything below a unit inherits its other variables.
  const { SYSTEMD_EXEC_PID: main } = env;
  if (main !== String(pid) && main !== String(primaryPid)) return false;
  const groups = readControlGroups(pid);
  return groups !== undefined && groups === readControlGroups(childPid);
}

function isInForeground({ pid, childPid }: Surroundings): boolean {
  const [own, child] = [readProcess(pid), readProcess(childPid)];
  return [own, child].every((one) => one?.foreground !== undefined && one.foreground === one.group);
}
