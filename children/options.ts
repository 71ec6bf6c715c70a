import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { checkBus, checkFlag, checkMs, checkText, refuse } from '../src/config/checks.js';
import { misspelt, type OptionNames, show } from '../src/errors.js';
import { defaultBus, PHASE_PRIORITY, type ShutdownBus } from '../src/index.js';

/**
 * - `'children-first'`: with the drain, while the service still answers what it has taken
 * - `'service-first'`: when every other handler of the service has run
 */
export type ChildOrder = 'children-first' | 'service-first';

/** Options of {@link superviseChild}. */
export interface ChildOptions {
  /** Shown in logs and reports. @default the program's name */
  readonly name?: string;
  /** What asks the child to end. @default 'SIGTERM' */
  readonly signal?: NodeJS.Signals;
  /** Milliseconds from that signal to SIGKILL, 0 to 2³¹−1; fewer when the shutdown has less time. @default 3000 */
  readonly timeoutMs?: number;
  /**
   * Signals go to the whole process group that the child leads, so that what it has started ends with it. It must be a group
   * of its own: `spawn(…, { detached: true })`. Not on Windows.
   * @default false; true for {@link spawnChild}
   */
  readonly group?: boolean;
  /** When it is asked to end; or by `priority`. @default 'children-first' */
  readonly order?: ChildOrder;
  /** Any finite number: when it is asked to end, among the handlers of the bus. @default by `order` */
  readonly priority?: number;
  /**
   * The signal that began the shutdown reached the child as well, by a terminal, systemd or Heroku: it is sent once more only
   * when three quarters of the child's time are over. `false`: it is sent at once. Set that under systemd with `KillMode=mixed` or
   * `process`, where SIGTERM reaches the service alone and nobody can tell; the child would wait for nothing.
   * @default recognised; SIGTERM only for a child whose own `signal` it is
   */
  readonly signalled?: boolean;
  /** It goes on when the service has ended, and is not asked to end with it. @default false */
  readonly mayOutlive?: boolean;
  /** Whose shutdown ends it. @default the default bus */
  readonly bus?: ShutdownBus;
}

/** {@link ChildOptions} with every value filled in. */
export interface ChildSettings {
  readonly name: string;
  readonly signal: NodeJS.Signals;
  readonly timeoutMs: number;
  readonly group: boolean;
  readonly priority: number;
  readonly signalled: boolean | undefined;
  readonly mayOutlive: boolean;
  readonly bus: ShutdownBus;
}

/** The documented defaults that are plain values. */
export const CHILD_DEFAULTS = Object.freeze({
  signal: 'SIGTERM' as NodeJS.Signals,
  timeoutMs: 3000,
  order: 'children-first' as ChildOrder,
});

/** After every handler without a priority of its own. */
const SERVICE_FIRST_PRIORITY = -100;
const ORDERS: Readonly<Record<ChildOrder, number>> = {
  'children-first': PHASE_PRIORITY.drain,
  'service-first': SERVICE_FIRST_PRIORITY,
};

const NAMES: OptionNames<ChildOptions> = {
  name: true,
  signal: true,
  timeoutMs: true,
  group: true,
  order: true,
  priority: true,
  signalled: true,
  mayOutlive: true,
  bus: true,
};

/** The names of the options, to tell them from those of `spawn`. */
export const CHILD_OPTION_NAMES = Object.keys(NAMES) as readonly (keyof ChildOptions)[];

/**
 * Fills in the defaults.
 * @throws {ShutdownError} `INVALID_OPTION`, listing everything that is wrong.
 */
export function resolveOptions(caller: string, options: ChildOptions, file: string): ChildSettings {
  const { name, signal, timeoutMs, group, order, priority, signalled, mayOutlive, bus } = options;
  refuse(caller, [
    misspelt(options, NAMES),
    checkText('name', name),
    signal === undefined || Object.hasOwn(constants.signals, signal)
      ? undefined
      : `signal is ${show(signal)}, allowed: the name of a signal, such as SIGTERM or SIGHUP`,
    checkMs('timeoutMs', timeoutMs),
    order === undefined || Object.hasOwn(ORDERS, order)
      ? undefined
      : `order is ${show(order)}, allowed: ${Object.keys(ORDERS).join(', ')}`,
    priority === undefined || Number.isFinite(priority)
      ? undefined
      : `priority is ${show(priority)}, allowed: any finite number`,
    order === undefined || priority === undefined
      ? undefined
      : 'order and priority are given, allowed: one of them',
    checkFlag('group', group),
    group && process.platform === 'win32' ? 'group is true, and Windows has no process groups' : undefined,
    checkFlag('signalled', signalled),
    checkFlag('mayOutlive', mayOutlive),
    checkBus(bus),
  ]);
  return {
    name: name ?? basename(file),
    signal: signal ?? CHILD_DEFAULTS.signal,
    timeoutMs: timeoutMs ?? CHILD_DEFAULTS.timeoutMs,
    group: group ?? false,
    priority: priority ?? ORDERS[order ?? CHILD_DEFAULTS.order],
    signalled,
    mayOutlive: mayOutlive ?? false,
    bus: bus ?? defaultBus(),
  };
}

/** @returns what is wrong with a child, and what is allowed. */
export function checkChild(child: unknown): string | undefined {
  const { kill, on } = (child ?? {}) as Partial<ChildProcess>;
  if (typeof kill === 'function' && typeof on === 'function') return undefined;
  return `the child is ${show(child)}, allowed: what spawn, fork, exec or execFile of node:child_process returns`;
}
