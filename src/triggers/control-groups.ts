import { readFileSync } from 'node:fs';

/** Memory in use against what may be used, in bytes. */
export interface MemoryReading {
  readonly usedBytes: number;
  /** `Infinity` where nothing is set. */
  readonly limitBytes: number;
}

/** A control group with a memory limit: this process's own, or one around it. The kernel kills when the limit is reached. */
export interface ControlGroup {
  /** `cgroup v2` or `cgroup v1`. */
  readonly name: string;
  /** Read anew each time: limits can be changed while a container runs. @throws when the group is gone. */
  read(): MemoryReading;
}

interface Version {
  readonly name: string;
  readonly root: string;
  /** Whether a line of /proc/self/cgroup, `<number>:<controllers>:<path>`, tells the group. */
  readonly isTold: (controllers: string) => boolean;
  readonly limit: string;
  readonly used: string;
  /** Before each key of memory.stat: in version 1 the sums with all groups below have names of their own. */
  readonly prefix: string;
  readonly mapped: string;
}

const VERSIONS: readonly Version[] = [
  {
    name: 'cgroup v2',
    root: '/sys/fs/cgroup',
    isTold: (controllers) => controllers === '',
    limit: 'memory.max',
    used: 'memory.current',
    prefix: '',
    mapped: 'file_mapped',
  },
  {
    name: 'cgroup v1',
    root: '/sys/fs/cgroup/memory',
    isTold: (controllers) => controllers.split(',').includes('memory'),
    limit: 'memory.limit_in_bytes',
    used: 'memory.usage_in_bytes',
    prefix: 'total_',
    mapped: 'mapped_file',
  },
];

/** A number near 2⁶³ in version 1 means no limit, as `max` does in version 2. */
const UNLIMITED_BYTES = 2 ** 60;

/** Reads a small file. @throws when there is none. */
export type ReadText = (path: string) => string;

const readText: ReadText = (path) => readFileSync(path, 'latin1');

/**
 * Every group whose memory limit can end this process. A container's own group is the root of what it sees, whatever path
 * the kernel tells; outside of containers, services and users have theirs below the root.
 * @see https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
 */
export function controlGroups(read: ReadText = readText): readonly ControlGroup[] {
  return VERSIONS.flatMap((version) =>
    foldersAround(version, read).map((folder) => ({
      name: version.name,
      read: () => readGroup(version, folder, read),
    })),
  ).filter(isThere);
}

/** From the process's own group to the root. */
function foldersAround({ root, isTold }: Version, read: ReadText): readonly string[] {
  const path = ownPath(isTold, read);
  // Seen from within a namespace, a group outside of it begins with `/..`.
  const names = path.includes('..') ? [] : path.split('/').filter((name) => name !== '');
  return [...names.keys(), names.length].reverse().map((depth) => [root, ...names.slice(0, depth)].join('/'));
}

function ownPath(isTold: Version['isTold'], read: ReadText): string {
  try {
    for (const line of read('/proc/self/cgroup').split('\n')) {
      const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
      if (controllers !== undefined && path !== undefined && isTold(controllers)) return path;
    }
  } catch {
    // No /proc: no control groups.
  }
  return '/';
}

function readGroup({ limit, used, prefix, mapped }: Version, folder: string, read: ReadText): MemoryReading {
  const limitBytes = Number(read(`${folder}/${limit}`).trim());
  if (!(limitBytes < UNLIMITED_BYTES)) return { usedBytes: 0, limitBytes: Number.POSITIVE_INFINITY };
  const stat = read(`${folder}/memory.stat`);
  const bytesOf = (key: string) => Number(new RegExp(`^${prefix}${key} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0);
  // Files that were read and are not mapped: the kernel takes their memory back before it kills anybody.
  const cached = bytesOf('active_file') + bytesOf('inactive_file') - bytesOf(mapped);
  return { usedBytes: Number(read(`${folder}/${used}`).trim()) - Math.max(0, cached), limitBytes };
}

function isThere(group: ControlGroup): boolean {
  try {
    group.read();
    return true;
  } catch {
    // Not this version of control groups, or none at all.
    return false;
  }
}
