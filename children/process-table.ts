import { readdirSync, readFileSync } from 'node:fs';
import { canSignal } from '../src/can-signal.js';

/** What the kernel says of a process. */
export interface ProcessFacts {
  readonly pid: number;
  /** One letter: `Z` for a process that has ended and waits for its parent. */
  readonly state: string;
  readonly group: number;
  readonly session: number;
  /** The process group that a terminal's keys reach, where the process has a terminal. */
  readonly foreground: number | undefined;
}

/**
 * Reads `/proc/<pid>/stat`.
 *
 * ```
 * 4711 (node server.js) S 4000 4711 4711 34816 4711 …
 *            state ─────┘      │    │    │     └ foreground group of its terminal, -1 without
 *                        group ┘    │    └ its terminal, 0 without
 *                          session ─┘
 * ```
 * @returns `undefined` when there is no such process, or no /proc.
 * @see https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
 */
export function readProcess(pid: number): ProcessFacts | undefined {
  try {
    return factsIn(pid, readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return undefined;
  }
}

function factsIn(pid: number, text: string): ProcessFacts {
  // The name, in brackets, may have anything in it.
  const [state = '', , group, session, terminal, foreground] = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ');
  return {
    pid,
    state,
    group: Number(group),
    session: Number(session),
    foreground: terminal === '0' ? undefined : Number(foreground),
  };
}

/** The control groups of a process, as text; `undefined` where there are none. */
export function readControlGroups(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, 'latin1');
  } catch {
    return undefined;
  }
}

/** Whether a process group has a member that has not ended. Never throws. */
export function isGroupAlive(leader: number): boolean {
  if (!canSignal(-leader)) return false;
  // A member that nobody has waited for can still be signalled.
  if (process.platform !== 'linux') return true;
  try {
    return processes().some((one) => one.group === leader && !isOver(one.state));
  } catch {
    // No file can be opened, or there is no /proc: whoever can be signalled counts as alive.
    return true;
  }
}

/** What a file of /proc gives when its process has ended meanwhile. */
const GONE = new Set(['ENOENT', 'ESRCH']);

/** @throws when /proc cannot be read. */
function processes(): ProcessFacts[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return factsIn(Number(name), readFileSync(`/proc/${name}/stat`, 'latin1'));
      } catch (error) {
        if (GONE.has((error as NodeJS.ErrnoException).code ?? '')) return [];
        throw error;
      }
    });
}

function isOver(state: string): boolean {
  return state === 'Z' || state === 'X';
}
