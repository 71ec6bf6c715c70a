import { debuglog } from 'node:util';
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../src/errors.js';
import { type LoopWatchData, type LoopWatchOptions, WORD } from './memory.js';

/** A thread that watches the main thread's event loop. */
export interface LoopWatch {
  /** The event loop turns. Costs nothing. */
  beat(): void;
  /** Ends the thread. Safe twice. */
  stop(): void;
}

const NOBODY: LoopWatch = { beat: () => {}, stop: () => {} };

/**
 * Watches the event loop from a thread beside it. When it has not turned for `afterMs`, the thread says on stderr where it is: with
 * the JavaScript stack of the main thread, which goes on undisturbed. When the loop turns again it says so.
 *
 * ```
 * main    beat() every everyMs ──▶ shared memory
 * thread  looks every everyMs … no beat for afterMs? asks the inspector for the stack ──▶ stderr, reportTo
 * ```
 *
 * Native code has to come back first: until then there is a hint by the kernel only. To be called on the main thread. Never throws:
 * where there is no inspector or no thread to be had, nothing is watched, and `NODE_DEBUG=shutdown-bus` says so.
 */
export function watchLoop(options: LoopWatchOptions): LoopWatch {
  const words = new Int32Array(new SharedArrayBuffer(4 * Object.keys(WORD).length));
  const worker = startThread({ ...options, words: words.buffer });
  if (worker === undefined) return NOBODY;
  const beat = () => {
    // The program may ask for them at any time.
    Atomics.store(words, WORD.sourceMaps, process.sourceMapsEnabled ? 1 : 0);
    Atomics.add(words, WORD.beat, 1);
  };
  beat();
  return { beat, stop: () => void worker.terminate() };
}

function startThread(data: LoopWatchData): Worker | undefined {
  const note = debuglog('shutdown-bus');
  const refused = (why: string) => note('nobody looks what blocks the event loop: %s', why);
  // Node aborts the whole process when it is asked for an inspector that the permission model withholds.
  if (!process.features.inspector || process.permission?.has('inspector') === false) {
    refused('this process may have no inspector');
    return undefined;
  }
  try {
    // From wherever the build has put this file: one folder below its root.
    const file = new URL('../supervisor/blocked-stack-thread.cjs', import.meta.url);
    // Without NODE_OPTIONS: what it preloads has no business here.
    const worker = new Worker(file, { workerData: data, env: {}, execArgv: [] });
    worker.on('error', (error) => refused(messageOf(error)));
    worker.unref();
    return worker;
  } catch (error) {
    refused(messageOf(error));
    return undefined;
  }
}
