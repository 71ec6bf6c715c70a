import type { ChildProcess } from 'node:child_process';
import cluster from 'node:cluster';
import { MAX_TIMER_MS } from '../src/clock.js';
import { isShutdownError, PHASE_PRIORITY, type ShutdownContext, ShutdownError } from '../src/index.js';
import { ownCode } from '../src/own-code.js';
import { isAskedAlone } from '../src/succession.js';
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
 * During a shutdown it is ended in its place, or in the next one when that is past.
 * @throws {ShutdownError} `INVALID_OPTION`, `BUS_DISPOSED`; `PHASE_PAST` when the shutdown is over: then the child gets SIGKILL.
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
    // Nothing of this service is to go on, and nobody else would end it.
    if (isShutdownError(error, 'PHASE_PAST')) supervised.kill();
    supervised.release();
    throw error;
  }
  return supervised;
}

function subscribe(child: SupervisedChild, settings: ChildSettings): () => void {
  const { bus, timeoutMs, signalled, signal: ownSignal } = settings;
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
      const platform = config.platform.name;
      return isSignalShared(reason, {
        platform,
        env: process.env,
        pid,
        childPid,
        primaryPid: cluster.isWorker ? process.ppid : undefined,
        isAskedAlone: isAskedAlone(),
        signal: ownSignal,
      });
    }
  };
  return bus.subscribeShutdown(ownCode(stop), {
    name: `stop child ${child.name}`,
    priority: placeOf(settings),
    reserveMs: reserveMsOf(settings),
    essential: true,
    details: () => child.details(),
  });
}

/** Begun too late for its own place, by a job in the drain say, it has the next one, which is still of this shutdown. */
function placeOf({ bus, priority }: ChildSettings): number {
  const next = bus.cursor - 1;
  return priority < bus.cursor || !Number.isFinite(next) ? priority : next;
}

/** What handlers before it must leave to it: its time, but at most half of what they have. Beside the drain it has all of that. */
function reserveMsOf({ bus, priority, timeoutMs }: ChildSettings): number {
  if (priority >= PHASE_PRIORITY.drain) return 0;
  const { budgetMs, reserveMs, releaseReserveMs, interruptGraceMs } = bus.config;
  const halfMs = (budgetMs - reserveMs - releaseReserveMs - interruptGraceMs) / 2;
  return Math.max(0, Math.min(timeoutMs + KILL_MS, halfMs, MAX_TIMER_MS));
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
