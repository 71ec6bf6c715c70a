/** What `drainWorker` takes: a `Worker` of BullMQ with a processor. */
export interface QueueWorker {
  /** The queue's name. */
  readonly name: string;
  /** Takes no more jobs; with `true` without waiting for the active ones. */
  pause(doNotWaitActive?: boolean): Promise<void>;
  /** Closes its connections; with `true` without waiting for the active ones. */
  close(force?: boolean): Promise<void>;
  /** Aborts the signal of an active job's processor. */
  cancelJob(jobId: string, reason?: string): boolean;
}

/** What is used of a job of the queue. */
export interface QueueJob {
  readonly id?: string;
  readonly name: string;
  readonly data: unknown;
  /** The last `updateProgress`, 0 before the first. */
  readonly progress: unknown;
  /** Back to where the queue's next job is taken from: neither an attempt nor a stall. */
  moveToWait(token?: string): Promise<unknown>;
}

/** Runs the processor on a job. */
export type CallProcessor = (job: QueueJob, token: string, signal?: AbortSignal) => Promise<unknown>;

/** Runs the processor and writes down how it ended. */
export type ProcessJob = (job: QueueJob, token: string, ...rest: unknown[]) => Promise<unknown>;

/** A worker with the parts that its types keep to its subclasses; those with a question mark may be missing. */
export interface WorkerParts extends QueueWorker {
  readonly qualifiedName?: string;
  readonly processFn?: unknown;
  /** The processor runs in processes or threads of its own. */
  readonly childPool?: unknown;
  readonly lockManager?: {
    readonly trackedJobs?: ReadonlyMap<string, { readonly token: string }>;
    untrackJob?(jobId: string): void;
  };
  readonly Job?: { fromId(worker: unknown, id: string): Promise<QueueJob | undefined> };
  callProcessJob: CallProcessor;
  processJob: ProcessJob;
  on(event: string, listener: (...args: never[]) => void): unknown;
  off(event: string, listener: (...args: never[]) => void): unknown;
}

const METHODS = ['pause', 'close', 'cancelJob', 'callProcessJob', 'processJob', 'on', 'off'] as const;

/** Whether everything is there that a drain works with. */
export function isWorker(value: unknown): value is WorkerParts {
  const worker = value as Partial<WorkerParts> | undefined | null;
  return typeof worker?.name === 'string' && METHODS.every((method) => typeof worker[method] === 'function');
}
