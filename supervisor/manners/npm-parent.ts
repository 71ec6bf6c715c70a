import { readFileSync } from 'node:fs';
import type { Logger } from '../../src/logger.js';
import { INIT_NAME } from './init.js';

/** A process as /proc shows it. */
export interface ProcessCommand {
  readonly args: readonly string[];
  readonly parent: number;
}

/** What {@link warnOfParent} looks at. */
export interface Ancestry {
  readonly platform: NodeJS.Platform;
  readonly env: NodeJS.ProcessEnv;
  readonly ppid: number;
  readonly read: (pid: number) => ProcessCommand | undefined;
}

const SHELLS = /^-?(ba|da|a|k|mk|z)?sh$/;
const MANAGERS = /(?:^|[/\s])(npm|npx|yarn|pnpm)(?:-cli)?(?:\.[cm]?js)?(?:\s|$)/;
const CURE =
  'write "exec" before the command, or make the command itself the one that is started: shutdown-bus run app.js';

/**
 * Says in one line that a signal may not reach this process, when a shell or a package manager stands between it and whoever starts and
 * stops the service; and what helps.
 *
 * ```
 * npm start ── sh -c "node app.js" ── this     the shell ends by SIGTERM, and npm: nobody tells this process
 * npm start ── this                            npm hands it on and waits: `exec node app.js`, or a shell that does so by itself
 * yarn start ── this                           yarn 1 hands it on and ends at once, and with it a container
 * sh (process 1) ── this                       the shell hears nothing: the kernel shields process 1
 * ```
 *
 * On Linux by the processes themselves, elsewhere by the variables that package managers set.
 */
export function warnOfParent(log: Pick<Logger, 'warn'>, ancestry: Ancestry = ownAncestry()): void {
  const between = ancestry.platform === 'linux' ? byProcesses(ancestry) : byVariables(ancestry);
  if (between !== undefined) log.warn(`signals may not reach this process: ${between}; what helps: ${CURE}`);
}

function byProcesses({ env, ppid, read }: Ancestry): string | undefined {
  let pid = ppid;
  let ancestor = read(pid);
  let shell: ProcessCommand | undefined;
  while (ancestor !== undefined && isRunningScript(ancestor.args)) {
    shell = ancestor;
    if (pid === 1) return `process 1 is a shell (${show(shell.args)}), which hands none on`;
    pid = ancestor.parent;
    ancestor = read(pid);
  }
  const manager = MANAGERS.exec(ancestor?.args.join(' ') ?? '')?.[1];
  if (manager === undefined || env.npm_lifecycle_event === undefined) return undefined;
  const command = commandOf(manager, env.npm_lifecycle_event);
  if (shell !== undefined)
    return `"${command}" has started it by a shell (${show(shell.args)}), which hands none on`;
  const isClassic = env.npm_config_user_agent?.startsWith('yarn/1.');
  return isClassic ? `"${command}" has started it, and yarn 1 does not wait for its end` : undefined;
}

/** A shell that somebody types into, or our own, is none. */
function isRunningScript([program = '', ...args]: readonly string[]): boolean {
  const [name, ...rest] = program.endsWith('busybox') ? args : [program, ...args];
  if (!SHELLS.test((name ?? '').replace(/^.*\//, '')) || rest.includes(INIT_NAME)) return false;
  return rest.some((arg) => /^-\w*c$/.test(arg) || !arg.startsWith('-'));
}

function byVariables({ platform, env }: Ancestry): string | undefined {
  const { npm_lifecycle_event: event, npm_lifecycle_script: script } = env;
  // Windows has no signals that could get lost.
  if (platform === 'win32' || event === undefined || script?.startsWith('exec ')) return undefined;
  const manager = env.npm_config_user_agent?.split('/')[0] ?? 'npm';
  return `"${commandOf(manager, event)}" has started it, perhaps by a shell that hands none on`;
}

/** What was typed: `npx` and `npm exec` run a script called npx. */
function commandOf(manager: string, script: string): string {
  return script === 'npx' ? 'npx' : `${manager} run ${script}`;
}

function show(args: readonly string[]): string {
  const text = args.join(' ').trim().replace(/\s+/g, ' ');
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function ownAncestry(): Ancestry {
  return { platform: process.platform, env: process.env, ppid: process.ppid, read: readCommand };
}

function readCommand(pid: number): ProcessCommand | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
    return { args, parent: Number(parent) };
  } catch {
    // It has ended, or belongs to somebody else.
    return undefined;
  }
}
