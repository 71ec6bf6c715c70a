import type { ChildProcess } from 'node:child_process';
import { type ShutdownContext, ShutdownError } from '../src/index.js';
import { ownCode } from '../src/own-code.js';
import { type ChildOptions, type ChildSettings, checkChild, resolveOptions } from './options.js';
import { readProcess } from './process-table.js';
import { isSignalShared } from './shared-signals.js';
import { SupervisedChild } from './supervised-child.js';

/** Kept of a child's time for SIGKILL to do its work, in milliseconds. */
const KILL_MS = 50;

/**
 * Sees to it that a child process ends with the service, and in time to clean up.
 *
 * ```
 * shutdown ──▶ signal ── timeoutMs ──▶ SIGKILL ──▶ gone
 *                 └─ it ends ──▶ gone
 * ```
 *
 * A child that ends by itself is forgotten; add and remove children whenever you like. Should the service be killed
 * itself, a small shell process gives its children the same treatment; where there is no `/bin/sh` they stay behind, unless the service
 * is PID 1 of its container.
 * @param child what `spawn`, `fork`, `exec` or `execFile` returned.
 * @throws {ShutdownError} `INVALID_OPTION`; `PHASE_PAST` once that part of a shutdown has begun, `BUS_DISPOSED`.
 */
export function superviseChild(child: ChildProcess, options: ChildOptions = {}): SupervisedChild {
  const problem = checkChild(child);
  if (problem !== undefined) throw new ShutdownError('INVALID_OPTION', `superviseChild: ${problem}`);
  const settings = resolveOptions('superviseChild', options, child.spawnfile ?? 'child');
  checkGroup(child, settings);
  return supervise(child, settings);
}

/** @throws {ShutdownError} `PHASE_PAST`, `BUS_DISPOSED`. */
export function supervise(child: ChildProcess, settings: ChildSettings): SupervisedChild {
  const supervised = new SupervisedChild(child, settings);
  if (settings.mayOutlive || supervised.pid === undefined) return supervised;
  try {
    supervised.onRelease(subscribe(supervised, settings));
  } catch (error) {
    supervised.release();
    throw error;
  }
  return supervised;
}

function subscribe(
  child: SupervisedChild,
  { bus, priority, timeoutMs, signalled }: ChildSettings,
): () => void {
  const stop = async ({ reason, signal, remainingMs }: ShutdownContext) => {
    const endNow = () => void child.end({ timeoutMs: 0 });
    signal.addEventListener('abort', endNow, { once: true });
    await child.end({
      timeoutMs: Math.max(0, Math.min(ownMs(), remainingMs() - KILL_MS)),
      signalled: signalled ?? isShared(),
    });
    signal.removeEventListener('abort', endNow);

    /** Where requests are waited for without a limit, children are too. */
    function ownMs(): number {
      return bus.isUnhurried ? Number.POSITIVE_INFINITY : timeoutMs;
    }

    function isShared(): boolean {
      const { config } = bus;
      const [pid, childPid] = [config.process.pid, child.pid as number];
      return isSignalShared(reason, { platform: config.platform.name, env: process.env, pid, childPid });
    }
  };
  return bus.subscribeShutdown(ownCode(stop), {
    name: `stop child ${child.name}`,
    priority,
    essential: true,
    details: () => child.details(),
  });
}

function checkGroup({ pid }: ChildProcess, { group }: ChildSettings): void {
  const facts = group && pid !== undefined ? readProcess(pid) : undefined;
  if (facts === undefined || facts.group === pid) return;
  const advice = 'start it with { detached: true }, or use spawnChild';
  throw new ShutdownError(
    'INVALID_OPTION',
    `superviseChild: group is true, and process ${pid} belongs to the group of ${facts.group}; ${advice}`,
  );
}
