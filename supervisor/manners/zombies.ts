import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Libc } from './libc.js';

/** How long a zombie is left to whoever may be waiting for it, and how often one looks while there are new ones. */
const GRACE_MS = 500;
const WNOHANG = 1;
/** Linux: only children of the calling thread. Worker threads have event loops of their own that wait for theirs. */
const WNOTHREAD = 0x2000_0000;
const NEW_CHILD = 'child_process';

/**
 * Waits for children of this process that nobody else waits for: processes whose parent has ended, adopted by process 1.
 *
 * ```
 * SIGCHLD ─ 500 ms ─ seen ─ 500 ms ─ a turn of the event loop ─ waited for, if it is still a zombie
 * ```
 *
 * Node waits for its own children one by one, in the turn of the loop that hears SIGCHLD; a status that somebody else took would be an
 * `exit` that never comes. So children of this thread are known by their objects, those of other threads by the kernel, and what an
 * addon has started has the grace.
 * @returns its undo.
 */
export function reapZombies(libc: Libc): () => void {
  const waitpid = libc.func('int waitpid(int pid, void *status, int options)');
  const own = watchOwnChildren();
  let seen: ReadonlySet<number> = new Set();
  let timer: NodeJS.Timeout | undefined;

  const look = () => {
    if (timer === undefined) return;
    timer = undefined;
    const mine = own.pids();
    const zombies = zombiesHere().filter((pid) => !mine.has(pid));
    for (const pid of zombies.filter((pid) => seen.has(pid))) waitpid(pid, null, WNOHANG | WNOTHREAD);
    if (zombies.some((pid) => !seen.has(pid))) lookSoon();
    seen = new Set(zombies);
  };
  const lookSoon = () => {
    // After the poll that follows the timer: also a loop that was blocked has waited for its own by then. Without unref: no poll would
    // end for the sake of such an immediate.
    timer ??= setTimeout(() => setImmediate(look), GRACE_MS).unref();
  };
  process.on('SIGCHLD', lookSoon);
  lookSoon();
  return () => {
    process.off('SIGCHLD', lookSoon);
    clearTimeout(timer);
    timer = undefined;
    own.leave();
  };
}

/** Whether /proc shows the processes that this one sees, and not those outside of its container. */
export function hasOwnProc(): boolean {
  try {
    return readlinkSync('/proc/self') === String(process.pid);
  } catch {
    return false;
  }
}

/** Those of `node:child_process` and `node:cluster`, from now on, that Node has not waited for yet. */
function watchOwnChildren() {
  const children = new Set<ChildProcess>();
  const started = (message: unknown) => children.add((message as { process: ChildProcess }).process);
  subscribe(NEW_CHILD, started);
  return {
    pids: (): ReadonlySet<number> => {
      for (const child of children) if (isOver(child)) children.delete(child);
      return new Set([...children].map(({ pid }) => pid as number));
    },
    leave: () => unsubscribe(NEW_CHILD, started),
  };
}

/** Waited for, or never started. */
function isOver({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid === undefined || exitCode !== null || signalCode !== null;
}

function zombiesHere(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isZombieOfThis(name))
    .map(Number);
}

function isZombieOfThis(pid: string): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name, in brackets, may have anything in it.
    const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' && parent === String(process.pid);
  } catch {
    // It has ended since.
    return false;
  }
}
