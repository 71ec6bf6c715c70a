import { type Clock, sleep } from '../clock.js';
import type { ProcessLike } from '../process-like.js';

// Shared by all copies of this package in one process: the first bus to finish must not end the others.
const RUNNING = Symbol.for('shutdown-bus.running');

type Leave = (code: number) => void;

interface Running {
  readonly buses: Set<string>;
  /** Ways out of those that have ended and want the process to end. */
  leaves: Leave[];
  code: number;
}

function running(): Running {
  const shared = globalThis as { [RUNNING]?: Running };
  shared[RUNNING] ??= { buses: new Set(), leaves: [], code: 0 };
  return shared[RUNNING];
}

/** The shutdown of this bus has begun: the process stays until it has ended. */
export function enterShutdown(instanceId: string): void {
  running().buses.add(instanceId);
}

/**
 * The shutdown of this bus has ended. The last one to end calls `leave` of all that have one, with the highest code.
 * @returns whether it was the last one.
 */
export function leaveShutdown(instanceId: string, code: number, leave: Leave | undefined): boolean {
  const shared = running();
  shared.buses.delete(instanceId);
  shared.code = Math.max(shared.code, code);
  if (leave) shared.leaves.push(leave);
  if (shared.buses.size > 0) return false;
  const [highest, leaves] = [shared.code, shared.leaves];
  shared.code = 0;
  shared.leaves = [];
  for (const way of leaves) way(highest);
  return true;
}

/**
 * Waits until what was written to stdout and stderr has left the process, at most `ms` milliseconds: an exit cuts off
 * what a pipe has not taken yet.
 */
export async function flushOutput(host: ProcessLike, clock: Clock, ms: number): Promise<void> {
  const time = new AbortController();
  const streams = [host.stdout, host.stderr].filter((stream) => stream?.writable);
  const flushed = Promise.all(streams.map((stream) => flush(stream as NodeJS.WritableStream)));
  await Promise.race([flushed.then(() => time.abort()), sleep(clock, ms, time.signal)]);
}

function flush(stream: NodeJS.WritableStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write('', () => resolve());
  });
}
