import { type SpawnOptions, spawn } from 'node:child_process';
import { loggerOf } from '../src/logger.js';
import { guardOf } from './guard.js';
import { CHILD_OPTION_NAMES, type ChildOptions, resolveOptions } from './options.js';
import { supervise } from './supervise-child.js';
import type { SupervisedChild } from './supervised-child.js';

/** Options of {@link spawnChild}: those of `spawn`, and how the child ends. */
export type SpawnChildOptions = ChildOptions &
  Omit<SpawnOptions, 'detached' | 'timeout' | 'signal' | 'killSignal'>;

/**
 * Starts a program as a child that ends with the service: `spawn` and {@link superviseChild} in one, in a process group of its own,
 * so that a terminal's Ctrl-C does not reach it before the service asks it to end, and what it has started ends with it.
 * @throws {ShutdownError} what `superviseChild` throws; then nothing was started, or it was ended at once.
 */
export function spawnChild(
  command: string,
  args: readonly string[] = [],
  options: SpawnChildOptions = {},
): SupervisedChild {
  const { own, rest } = split(options);
  const group = own.group ?? process.platform !== 'win32';
  const settings = resolveOptions('spawnChild', { ...own, group }, command);
  if (!settings.mayOutlive) guardOf(loggerOf(settings.bus)).start();
  const child = spawn(command, args, { ...rest, detached: group });
  try {
    return supervise(child, settings);
  } catch (error) {
    // Nobody would end it.
    child.kill('SIGKILL');
    throw error;
  }
}

function split(options: SpawnChildOptions): { own: ChildOptions; rest: SpawnOptions } {
  const entries = Object.entries(options);
  const isOwn = ([name]: [string, unknown]) => (CHILD_OPTION_NAMES as readonly string[]).includes(name);
  return {
    own: Object.fromEntries(entries.filter(isOwn)),
    rest: Object.fromEntries(entries.filter((entry) => !isOwn(entry))),
  };
}
