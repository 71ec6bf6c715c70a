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
  readonly lockManager?: { readonly trackedJobs?: ReadonlyMap<string, { readonly token: string }> };
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

/**
 * Puts something in front of a method of one object.
 * @returns its undo.
 */
export function replaceMethod<T extends object, K extends keyof T>(
  target: T,
  name: K,
  wrap: (original: T[K]) => T[K],
): () => void {
  type Method = (...args: unknown[]) => unknown;
  const own = Object.hasOwn(target, name);
  const original = target[name];
  const plain = (original as Method).bind(target);
  const wrapped = wrap(plain as T[K]) as Method;
  let active = true;
  const replacement = ((...args) => (active ? wrapped : plain)(...args)) as T[K] & Method;
  target[name] = replacement;
  return () => {
    active = false;
    // Whoever put something on top of ours still calls it; then it only passes on.
    if (target[name] !== replacement) return;
    if (own) target[name] = original;
    else delete target[name];
  };
}
