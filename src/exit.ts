import { type Clock, sleep } from './clock.js';
import type { ProcessLike } from './process-like.js';

// Shared by all copies of this package in one process: the first bus to finish must not end the others.
const RUNNING = Symbol.for('shutdown-bus.running');

interface Running {
  readonly buses: Set<string>;
  code: number;
}

function running(): Running {
  const shared = globalThis as { [RUNNING]?: Running };
  shared[RUNNING] ??= { buses: new Set(), code: 0 };
  return shared[RUNNING];
}

/** The shutdown of this bus has begun: the process stays until it has ended. */
export function enterShutdown(instanceId: string): void {
  running().buses.add(instanceId);
}

/**
 * The shutdown of this bus has ended. Gives the process's exit code when it was the last one, the highest of all.
 */
export function leaveShutdown(instanceId: string, code: number): number | undefined {
  const shared = running();
  shared.buses.delete(instanceId);
  shared.code = Math.max(shared.code, code);
  if (shared.buses.size > 0) return undefined;
  const highest = shared.code;
  shared.code = 0;
  return highest;
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
