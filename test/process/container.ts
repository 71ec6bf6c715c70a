import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** Runs a command as process 1 of a namespace of its own, which ends with it. */
export const CONTAINED = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];

const tried = spawnSync(CONTAINED[0] as string, [...CONTAINED.slice(1), 'true']);

/** Why no test can be process 1 here, for the names of those that are skipped; empty where it can. */
export const uncontained =
  tried.status === 0
    ? ''
    : ` (skipped: no process namespaces: ${tried.stderr?.toString().trim() || tried.error?.message})`;

export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.split(' ').filter(Boolean).map(Number);
}

/** What runs inside: `unshare` itself is outside. */
export function firstProcessOf({ pid }: { readonly pid?: number | undefined }): number {
  const [first] = childrenOf(pid as number);
  return first as number;
}

/** How many processes have ended and wait for that parent, by /proc. */
export function countZombies(parent: number): number {
  return readdirSync('/proc').filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/stat`, 'latin1').includes(`) Z ${parent} `);
    } catch {
      // No process, or none any more.
      return false;
    }
  }).length;
}
