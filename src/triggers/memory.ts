import { readFileSync } from 'node:fs';
import { getHeapStatistics } from 'node:v8';
import type { Clock } from '../clock.js';
import type { ShutdownReason } from '../reason.js';

/** When memory use begins a shutdown, so that the process can still speak before it is killed without a word. */
export interface MemoryWatchOptions {
  /** A share of the limit found (`'90%'`), or a limit in bytes (`400_000_000`, `'400MiB'`). @default '90%' */
  readonly limit?: string | number;
  /** Milliseconds between two looks. @default 1000 */
  readonly intervalMs?: number;
}

/** Memory in use against what may be used, in bytes. */
export interface MemoryReading {
  readonly usedBytes: number;
  readonly limitBytes: number;
}

/** What the watch needs. `share` of the limit begins the shutdown. */
export interface MemoryWatch {
  readonly clock: Clock;
  readonly intervalMs: number;
  readonly share: number;
  /** Every limit that can end the process, with what counts against it. */
  read(): readonly MemoryReading[];
}

/** Two looks in a row: one spike that the garbage collector takes back ends no service. */
const LOOKS = 2;

/**
 * Calls `trigger` once, when use has stayed above the share for two looks. Returns its undo.
 * Its timer does not keep the process alive.
 */
export function watchMemory(watch: MemoryWatch, trigger: (reason: ShutdownReason) => void): () => void {
  let above = 0;
  let timer: unknown;
  const look = () => {
    const over = watch.read().find(({ usedBytes, limitBytes }) => usedBytes > limitBytes * watch.share);
    above = over ? above + 1 : 0;
    if (over && above >= LOOKS) trigger({ kind: 'memory', ...over });
    else schedule();
  };
  const schedule = () => {
    timer = watch.clock.setTimeout(look, watch.intervalMs);
    (timer as { unref?: () => void }).unref?.();
  };
  schedule();
  return () => watch.clock.clearTimeout(timer);
}

/** Reads what this process uses of its heap limit and, where there is one, of its container's limit. */
export function readMemory(ownLimitBytes?: number): readonly MemoryReading[] {
  const { heap_size_limit, used_heap_size } = getHeapStatistics();
  const rss = process.memoryUsage.rss();
  const readings: MemoryReading[] = [{ usedBytes: used_heap_size, limitBytes: heap_size_limit }];
  const container = ownLimitBytes ?? containerLimit();
  if (container !== undefined) readings.push({ usedBytes: rss, limitBytes: container });
  return readings;
}

// cgroup v2, then v1. "max", or a number near 2⁶³ in v1, means no limit.
const LIMIT_FILES = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'];

/** The memory limit of this container in bytes, `undefined` when there is none. */
export function containerLimit(read = (path: string) => readFileSync(path, 'utf8')): number | undefined {
  for (const path of LIMIT_FILES) {
    try {
      const bytes = Number(read(path).trim());
      if (bytes > 0 && bytes < 2 ** 60) return bytes;
    } catch {
      // Not this version of cgroups, or none at all.
    }
  }
  return undefined;
}
