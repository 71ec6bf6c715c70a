// @ts-check
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * A way to give a process less memory than the machine has.
 * @typedef {object} MemoryLimit
 * @property {string} name
 * @property {readonly (number | NodeJS.Signals)[]} endings how a process ends that wants more
 * @property {(command: readonly string[]) => LimitedCommand} around
 */

/**
 * @typedef {object} LimitedCommand
 * @property {readonly string[]} command
 * @property {() => boolean} wasReached whether it was the limit that ended it
 * @property {() => Promise<void>} release
 */

const DEFAULT_LIMIT_BYTES = 192 * 2 ** 20;
/** Private memory that may be written to, of which a process that has just started wants about half. */
const DATA_KIBIBYTES = 500_000;
const ROOT = '/sys/fs/cgroup';
let groups = 0;

/** The first that can be had here: a control group as containers have it, else a limit of the shell, which is always the same. @returns {MemoryLimit} */
export function findMemoryLimit(limitBytes = DEFAULT_LIMIT_BYTES) {
  return (
    groupLimit('cgroup v1', { limit: 'memory.limit_in_bytes', kills: 'memory.oom_control' }, limitBytes) ??
    groupLimit('cgroup v2', { limit: 'memory.max', kills: 'memory.events' }, limitBytes) ??
    rlimit
  );
}

/** @type {MemoryLimit} */
const rlimit = {
  name: 'setrlimit',
  endings: ['SIGABRT', 'SIGTRAP', 'SIGILL', 'SIGSEGV', 'SIGBUS'],
  around: (command) => ({
    command: ['/bin/sh', '-c', `ulimit -d ${DATA_KIBIBYTES}; exec "$0" "$@"`, ...command],
    // Nothing else ends a process like that.
    wasReached: () => true,
    release: async () => {},
  }),
};

/** @param {string} name @param {{ limit: string, kills: string }} files of such a group @param {number} limitBytes @returns {MemoryLimit | undefined} */
function groupLimit(name, files, limitBytes) {
  const parent = parentGroup(name);
  if (parent === undefined) return undefined;
  try {
    removeGroup(makeGroup(parent, files.limit, limitBytes));
  } catch {
    return undefined;
  }
  return {
    name,
    endings: ['SIGKILL'],
    around(command) {
      const group = makeGroup(parent, files.limit, limitBytes);
      const enter = 'echo 0 > "$0/cgroup.procs" && exec "$@"';
      return {
        command: ['/bin/sh', '-c', enter, group, ...command],
        wasReached: () => /^oom_kill [1-9]/m.test(readFileSync(join(group, files.kills), 'utf8')),
        release: () => release(group),
      };
    },
  };
}

/** The group that this process is in. @param {string} name */
function parentGroup(name) {
  const own = existsSync('/proc/self/cgroup') ? readFileSync('/proc/self/cgroup', 'utf8') : '';
  const [controller, root] = name === 'cgroup v1' ? [':memory:', join(ROOT, 'memory')] : ['0::', ROOT];
  const line = own.split('\n').find((each) => each.includes(controller));
  return line && join(root, line.slice(line.indexOf(controller) + controller.length));
}

/** @param {string} parent @param {string} file @param {number} limitBytes */
function makeGroup(parent, file, limitBytes) {
  groups += 1;
  const group = join(parent, `chaos-${process.pid}-${groups}`);
  mkdirSync(group);
  try {
    // Opened, not made: in a folder that is no control group there is none.
    writeFileSync(join(group, file), String(limitBytes), { flag: 'r+' });
  } catch (error) {
    removeGroup(group);
    throw error;
  }
  return group;
}

/** @param {string} group */
function removeGroup(group) {
  rmdirSync(group);
}

/** The kernel may still be putting away what was in it. @param {string} group */
async function release(group) {
  for (let tries = 0; tries < 50; tries += 1) {
    try {
      return removeGroup(group);
    } catch {
      await sleep(20);
    }
  }
}
