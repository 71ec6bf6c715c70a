import { AsyncLocalStorage } from 'node:async_hooks';

/** So many requests without a job make a service one that has none, as far as one can tell. */
const TRIAL_REQUESTS = 1000;

/**
 * Knows which request code belongs to that runs now, also after an await.
 *
 * Before Node 24 that costs every callback of a process something, and a small server a seventh of its throughput. So a service
 * that has begun no job in {@link TRIAL_REQUESTS} requests is spared it until its first one:
 *
 * ```
 * followed ──▶ 1000 requests, no job ──▶ not followed ──▶ a job ──▶ followed for good
 * ```
 *
 * That one job is known to belong to its request unless it is begun after an await; all others in any case.
 */
export class RequestContext<R> {
  #storage: AsyncLocalStorage<R | undefined> | undefined = new AsyncLocalStorage();
  /** The request whose code runs right now, while none is followed further. */
  #running: R | undefined = undefined;
  #always: boolean;
  #requests = 0;

  /** @param always follow every request whatever it costs: what becomes of them depends on their jobs. */
  constructor(always: boolean) {
    this.#always = always;
  }

  /** Calls `work`, the handling of a request, in its context. */
  run<T>(request: R, work: () => T): T {
    if (!this.#always && this.#storage && this.#requests++ === TRIAL_REQUESTS) {
      this.#storage.disable();
      this.#storage = undefined;
    }
    return this.enter(request, work);
  }

  /** Calls `work`, a part of the handling that Node calls elsewhere, in the same context. */
  enter<T>(request: R, work: () => T): T {
    if (this.#storage) return this.#storage.run(request, work);
    const outer = this.#running;
    this.#running = request;
    try {
      return work();
    } finally {
      this.#running = outer;
      // Begun to follow meanwhile: the rest of this turn belongs to whoever called us.
      (this.#storage as AsyncLocalStorage<R | undefined> | undefined)?.enterWith(outer);
    }
  }

  /** The request in which a job was begun just now. From here on all are followed. */
  current(): R | undefined {
    this.#always = true;
    if (this.#storage === undefined) {
      this.#storage = new AsyncLocalStorage();
      this.#storage.enterWith(this.#running);
    }
    return this.#storage.getStore();
  }
}
