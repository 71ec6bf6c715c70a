import { MAX_TIMER_MS } from '../clock.js';
import { ShutdownError, show } from '../errors.js';
import type { ShutdownBus } from '../index.js';

/** What is wrong with an option and what is allowed. An option that is not given is right. */
export type Problem = string | undefined;

/** @throws {ShutdownError} `INVALID_OPTION`, listing everything that is wrong with what `caller` was given. */
export function refuse(caller: string, problems: readonly Problem[]): void {
  const found = problems.filter((problem) => problem !== undefined);
  if (found.length === 0) return;
  throw new ShutdownError('INVALID_OPTION', `the options of ${caller} are not usable: ${found.join('; ')}`);
}

export function checkFlag(name: string, value: unknown): Problem {
  if (value === undefined || typeof value === 'boolean') return undefined;
  return `${name} is ${show(value)}, allowed: true or false`;
}

/** `more` is what else is allowed, or why not more is. */
export function checkMs(name: string, ms: unknown, least = 0, most = MAX_TIMER_MS, more = ''): Problem {
  if (ms === undefined || (typeof ms === 'number' && ms >= least && ms <= most)) return undefined;
  return `${name} is ${show(ms)}, allowed: milliseconds from ${least} to ${most}${more}`;
}

export function checkText(name: string, text: unknown, allowed = 'a text that is not empty'): Problem {
  if (text === undefined || (typeof text === 'string' && text !== '')) return undefined;
  return `${name} is ${show(text)}, allowed: ${allowed}`;
}

/** The path of a probe. */
function checkPath(name: string, path: unknown): Problem {
  if (path === undefined || (typeof path === 'string' && /^\/[^?#\s]*$/.test(path))) return undefined;
  return `${name} is ${show(path)}, allowed: a path such as '/readyz', without a query`;
}

/** The paths of two probes, which one server answers. */
export function checkPaths(probes: { readinessPath?: unknown; livenessPath?: unknown }): Problem[] {
  const { readinessPath, livenessPath } = probes;
  return [
    checkPath('readinessPath', readinessPath),
    checkPath('livenessPath', livenessPath),
    readinessPath !== undefined && readinessPath === livenessPath
      ? 'readinessPath and livenessPath are the same, allowed: two paths'
      : undefined,
  ];
}

export function checkBus(bus: unknown): Problem {
  if (bus === undefined || typeof (bus as Partial<ShutdownBus> | null)?.subscribeShutdown === 'function')
    return undefined;
  return 'bus is no bus, allowed: what createShutdownBus or defaultBus returns';
}
