import { checkBus } from '../src/config/checks.js';
import { misspelt, type OptionNames } from '../src/errors.js';
import { defaultBus, type ShutdownBus, ShutdownError, type Subscription } from '../src/index.js';
import type { WorkerCounts } from './counts.js';
import { isWorker, type QueueWorker, type WorkerParts } from './worker.js';
import { WorkerDrain } from './worker-drain.js';

export type { WorkerCounts } from './counts.js';
export type { QueueWorker } from './worker.js';

/** Options of {@link drainWorker}. */
export interface DrainWorkerOptions {
  /** The bus whose shutdown drains the worker. @default the default bus */
  readonly bus?: ShutdownBus;
}

/** A worker that will be drained. Disposing it gives the worker back as it was. */
export interface DrainedWorker extends Disposable {
  /** What the shutdown has done so far; all zero before the trigger. */
  readonly counts: WorkerCounts;
  /** Jobs that are active now. */
  readonly active: number;
  /** Takes everything off the worker and the bus, its active jobs included. Safe to call twice. */
  dispose(): void;
}

const NAMES: OptionNames<DrainWorkerOptions> = { bus: true };
/** After the reports of open jobs, at 100, and the answers to open requests, at 90; before anything is closed, at 0. */
const GIVE_BACK_PRIORITY = 80;

const drained = new WeakSet<object>();

/**
 * Ends a BullMQ worker with its jobs: what it cannot finish goes back to the queue, where the next worker takes it at
 * once, instead of after the stalled check. Going back is neither a failed attempt nor a stall.
 *
 * ```
 * intake    the worker takes no more jobs; one that is on its way is given back untouched
 * drain     active jobs finish; near the end their signal aborts, and one whose processor throws then is given back
 * deliver   unfinished jobs are reported, also those given back; then what is still active is given back
 * release   the worker is closed without waiting
 * ```
 *
 * Every active job is a job of the bus: its type is the job's name, its payload the job's `data`, its progress the last
 * `updateProgress`, its id `bull:<queue>:<job id>`. The processor's third argument is the signal, and its reason a
 * `GracefulExit` (its text, in a sandboxed processor). A processor that takes no notice runs on until the process ends,
 * for that moment together with the worker that has taken its job.
 *
 * Best attached before the worker has jobs: one that was active before is given back as soon as its signal aborts.
 * Tested with BullMQ 6.
 * @throws {ShutdownError} `INVALID_OPTION` for a bad option, or a worker that is none, has no processor or is drained
 * already; `PHASE_PAST` once a shutdown has begun, `BUS_DISPOSED`.
 */
export function drainWorker(worker: QueueWorker, options: DrainWorkerOptions = {}): DrainedWorker {
  checkWorker(worker);
  const drain = new WorkerDrain(worker, busOf(options));
  let unsubscribe: () => void;
  try {
    unsubscribe = subscribeSteps(drain);
  } catch (error) {
    drain.dispose();
    throw error;
  }
  drained.add(worker);
  let disposed = false;
  const dispose = () => {
    if (disposed) return;
    disposed = true;
    worker.off('closed', closed);
    unsubscribe();
    drain.dispose();
    drained.delete(worker);
  };
  // Closed by the application: nothing is left to do. By force, jobs may still be active.
  const closed = () => drain.whenIdle(dispose);
  worker.on('closed', closed);
  return {
    get counts() {
      return drain.counts;
    },
    get active() {
      return drain.active;
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

function subscribeSteps(drain: WorkerDrain): () => void {
  const { bus } = drain;
  const { name } = drain.worker;
  const details = () => ({ ...drain.counts });
  const subscriptions: Subscription[] = [];
  const undo = () => {
    for (const unsubscribe of subscriptions) unsubscribe();
  };
  try {
    subscriptions.push(
      bus.subscribeShutdown(() => drain.pause(), { name: `pause worker ${name}`, phase: 'intake' }),
      bus.subscribeShutdown((context) => drain.giveBackRest(context), {
        name: `give back jobs of ${name}`,
        priority: GIVE_BACK_PRIORITY,
        reserveMs: Math.min(300, Math.floor(bus.config.budgetMs / 10)),
        details,
      }),
      bus.subscribeShutdown((context) => drain.close(context), { name: `close worker ${name}`, details }),
    );
  } catch (error) {
    undo();
    throw error;
  }
  return undo;
}

function busOf(options: DrainWorkerOptions): ShutdownBus {
  const unknown = misspelt(options, NAMES);
  if (unknown) throw invalid(`the options of drainWorker are not usable: ${unknown}`);
  const { bus } = options;
  const problem = checkBus(bus);
  if (problem) throw invalid(problem);
  return bus ?? defaultBus();
}

function checkWorker(worker: unknown): asserts worker is WorkerParts {
  if (!isWorker(worker))
    throw invalid('drainWorker was given no worker; allowed: a Worker of BullMQ that has cancelJob');
  if (worker.processFn === undefined || worker.processFn === null)
    throw invalid(
      `worker ${worker.name} has no processor; allowed: one with a processor; jobs fetched by hand are begun with jobs.run`,
    );
  if (drained.has(worker))
    throw invalid(`worker ${worker.name} is drained already; dispose the first one, or attach once`);
}

function invalid(message: string): ShutdownError {
  return new ShutdownError('INVALID_OPTION', message);
}
