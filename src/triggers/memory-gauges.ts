import { constants, PerformanceObserver } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import { controlGroups, type MemoryReading } from './control-groups.js';

/** A limit of memory, and what counts against it. */
export interface MemoryGauge {
  /** As log lines name it. */
  readonly name: string;
  /** The share of the limit beyond which the shutdown begins. */
  readonly share: number;
  /** What a shutdown takes of it; `undefined` where nothing ends the process at the limit. */
  readonly room?: RoomToSpeak;
  /** Its readings may leap by so much at once: huge pages, and what processors hold ahead. */
  readonly leapBytes: number;
  /** @throws when it cannot be read now. */
  read(): MemoryReading;
  /** Where use has garbage in it: calls the listener after each full collection, when it has none. @returns its undo. */
  readonly onCollected?: (listener: () => void) => () => void;
}

/** Memory that a shutdown takes, in bytes. */
export interface RoomToSpeak {
  readonly leastBytes: number;
  /** Times the text of all open jobs' reports. */
  readonly times: number;
}

/**
 * Measured from SIGTERM to the exit, with the webhook notifier; `bench/memory.js` measures it. The threads, the connection and
 * their code; and copies of what is reported: in the watchdog's hands, in a batch, on its way.
 */
const RESIDENT_ROOM: RoomToSpeak = { leastBytes: 16 * 2 ** 20, times: 8 };
const HEAP_ROOM: RoomToSpeak = { leastBytes: 4 * 2 ** 20, times: 5 };

const LEAP_BYTES = { resident: 4 * 2 ** 20, heap: 2 ** 20 } as const;

/** What is watched. */
export interface GaugeOptions {
  /** Of the limits that are found. */
  readonly share: number;
  /** A limit of its own for this process's resident memory. */
  readonly bytes?: number;
}

/** Everything that can end this process for want of memory. */
export function memoryGauges({ share, bytes }: GaugeOptions): readonly MemoryGauge[] {
  const groups = controlGroups().map(({ name, read }) => ({
    name: `the container's memory (${name})`,
    share,
    room: RESIDENT_ROOM,
    leapBytes: LEAP_BYTES.resident,
    read,
  }));
  return [heapGauge(share), ...groups, ...(bytes === undefined ? [] : [ownGauge(bytes)])];
}

function ownGauge(limitBytes: number): MemoryGauge {
  return {
    name: "this process's resident memory",
    share: 1,
    leapBytes: LEAP_BYTES.resident,
    read: () => ({ usedBytes: process.memoryUsage.rss(), limitBytes }),
  };
}

function heapGauge(share: number): MemoryGauge {
  const limitBytes = heapLimitBytes();
  return {
    name: "V8's heap",
    share,
    room: HEAP_ROOM,
    leapBytes: LEAP_BYTES.heap,
    read: () => ({ usedBytes: getHeapStatistics().used_heap_size, limitBytes }),
    onCollected,
  };
}

/**
 * Where V8 ends the process. Its own `heap_size_limit` adds the young generation's 48 to 192 MiB, and is never reached: measured
 * on Node 20 to 26, the process is gone when the used heap comes to `--max-old-space-size`.
 */
export function heapLimitBytes(
  flags: readonly string[] = [...(process.env.NODE_OPTIONS ?? '').split(/\s+/), ...process.execArgv],
): number {
  const { heap_size_limit } = getHeapStatistics();
  const old = lastNumber(flags, /^--max[-_]old[-_]space[-_]size=(\d+)$/);
  const percentage = lastNumber(flags, /^--max[-_]old[-_]space[-_]size[-_]percentage=([\d.]+)$/);
  const asked = percentage === undefined ? (old ?? 0) * 2 ** 20 : (percentage / 100) * machineBytes();
  return asked > 0 ? Math.min(asked, heap_size_limit) : heap_size_limit;
}

function lastNumber(flags: readonly string[], pattern: RegExp): number | undefined {
  const found = flags.map((flag) => pattern.exec(flag)?.[1]).filter((text) => text !== undefined);
  return found.length === 0 ? undefined : Number(found.at(-1));
}

/** What Node takes a percentage of. */
function machineBytes(): number {
  const totalBytes = process.getBuiltinModule('node:os').totalmem();
  const constrainedBytes = process.constrainedMemory();
  return constrainedBytes > 0 ? Math.min(constrainedBytes, totalBytes) : totalBytes;
}

function onCollected(listener: () => void): () => void {
  const observer = new PerformanceObserver((list) => {
    // `detail` is not in the type of every entry.
    const kinds = list.getEntries().map((entry) => (entry as { detail?: { kind?: number } }).detail?.kind);
    if (kinds.includes(constants.NODE_PERFORMANCE_GC_MAJOR)) listener();
  });
  observer.observe({ entryTypes: ['gc'] });
  return () => observer.disconnect();
}
