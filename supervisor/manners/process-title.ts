import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

/** What `ps` shows of a process of a supervised service. */
export interface TitleFacts {
  readonly role: 'primary' | `worker ${number}`;
  /** The program of the workers. */
  readonly exec: string;
  /** How many there are. Of a primary. */
  readonly workers?: number;
  readonly isStopping?: boolean;
}

/**
 * Puts the state into the process's title, where `ps` shows its command otherwise.
 *
 * ```
 * shutdown-bus: primary app.js (2 workers)
 * shutdown-bus: worker 1 app.js stopping
 * ```
 *
 * A title has no more room than the command had: where that is short, less is said; where it is too short for anything, the command stays.
 */
export function showTitle(facts: TitleFacts): void {
  const title = fitTitle(facts, roomForTitle());
  if (title !== undefined) process.title = title;
}

/** The longest form of a title that has no more than so many bytes; `undefined` when there is none. */
export function fitTitle(facts: TitleFacts, mostBytes: number): string | undefined {
  const { role, workers, isStopping = false } = facts;
  const program = basename(facts.exec);
  const count = workers === undefined ? undefined : `(${workers} ${workers === 1 ? 'worker' : 'workers'})`;
  const end = isStopping ? 'stopping' : undefined;
  const forms = [
    ['shutdown-bus:', role, program, count, end],
    ['shutdown-bus:', role, program, end],
    ['shutdown-bus:', role, end],
    [role, program, end],
    [role, end],
    [role],
  ];
  return forms
    .map((words) => words.filter((word) => word !== undefined).join(' '))
    .find((title) => Buffer.byteLength(title) <= mostBytes);
}

/** The bytes of the command line, which the title takes the place of, less the one that ends it. */
function roomForTitle(): number {
  if (process.platform !== 'linux') return Number.POSITIVE_INFINITY;
  try {
    return readFileSync('/proc/self/cmdline').length - 1;
  } catch {
    return 0;
  }
}
