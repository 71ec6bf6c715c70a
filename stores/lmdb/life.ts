import { readFileSync, readlinkSync } from 'node:fs';

/**
 * What tells a living process from a dead one, whoever has its number now.
 *
 * ```
 * another boot of the machine          dead
 * the same process namespace           /proc tells: the number, and the tick it was started at
 * another container on this machine,
 * or a machine without /proc           its heartbeat tells: no other sign of it can be seen
 * ```
 */
export interface Life {
  readonly pid: number;
  /** Since the machine's boot, in the kernel's ticks; '' where there is no /proc. */
  readonly startedAt: string;
  /** Its process namespace: another container has another one. */
  readonly namespace: string;
  /** Of the machine; '' where it cannot be told. */
  readonly bootId: string;
  /** Its last heartbeat, on the machine's monotonic clock in milliseconds. */
  readonly beatMs: number;
  /** It said goodbye. */
  readonly left?: boolean;
}

/** How old a heartbeat may be, where it is all that can be seen of a process. */
export const LONGEST_SILENCE_MS = 10_000;

const NAMESPACE = textOf(() => readlinkSync('/proc/self/ns/pid'));
const BOOT_ID = textOf(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1'));
const STARTED_AT = textOf(() => startedAtOf(process.pid));
const NO_SUCH_PROCESS = new Set<unknown>(['ENOENT', 'ESRCH']);

/** This process, now. */
export function ownLife(): Life {
  return {
    pid: process.pid,
    startedAt: STARTED_AT,
    namespace: NAMESPACE,
    bootId: BOOT_ID,
    beatMs: nowMs(),
  };
}

/** Whether that process still runs. When in doubt it does, as long as its heart was heard lately. */
export function isAlive({ pid, startedAt, namespace, bootId, beatMs, left }: Life): boolean {
  const bootsAreKnown = bootId !== '' && BOOT_ID !== '';
  if (left || (bootsAreKnown && bootId !== BOOT_ID)) return false;
  if (namespace === NAMESPACE && startedAt !== '' && STARTED_AT !== '') return runs(pid, startedAt);
  const silenceMs = nowMs() - beatMs;
  // The clock begins anew at each boot: whose heart will have beaten later than now did so before this one.
  if (silenceMs < 0 && !bootsAreKnown) return false;
  return silenceMs < LONGEST_SILENCE_MS;
}

/** The same for all processes of the machine. */
function nowMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

function runs(pid: number, startedAt: string): boolean {
  try {
    return startedAtOf(pid) === startedAt;
  } catch (error) {
    // Anything else says nothing about it: too many open files, say.
    return !NO_SUCH_PROCESS.has((error as NodeJS.ErrnoException).code);
  }
}

/** When the process with that number was started; `undefined` when only its remains are there. @throws `ENOENT` when there is none. */
function startedAtOf(pid: number): string | undefined {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The name, in brackets, may have anything in it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  return state === 'Z' || state === 'X' ? undefined : fields[19];
}

function textOf(read: () => string | undefined): string {
  try {
    return read()?.trim() ?? '';
  } catch {
    return '';
  }
}
