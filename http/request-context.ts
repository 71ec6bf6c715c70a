import { AsyncLocalStorage } from 'node:async_hooks';
import type { PassOn } from './intercept.js';
import type { TrackedRequest } from './open-requests.js';

/** So many requests without a job make a service that begins none in its requests. */
export const JOBLESS_REQUESTS = 1000;

/**
 * Knows in which request a piece of code runs, also after an await.
 *
 * Following requests through asynchronous code costs every promise of the process something: measured, about 5 % of
 * the throughput of a server that does nothing else, on Node 20. A service that begins no jobs in its requests stops
 * paying after the first thousand. Should one begin a job after all, it is followed again, for good; that first job
 * then belongs to every request it may have been begun in: one too many is only answered later.
 */
export class RequestContext {
  readonly #storage = new AsyncLocalStorage<TrackedRequest>();
  readonly #onGiveUp: () => void;
  #following = true;
  /** Requests until it gives up. */
  #patience = JOBLESS_REQUESTS;
  /** The request whose listeners are being called just now, while none is followed. */
  #now: TrackedRequest | undefined = undefined;

  /** @param onGiveUp called before requests are no longer followed, the open ones neither. */
  constructor(onGiveUp: () => void) {
    this.#onGiveUp = onGiveUp;
  }

  /** Whether requests are followed through asynchronous code. */
  get following(): boolean {
    return this.#following;
  }

  /** The request this code runs in, as far as it is known. */
  get current(): TrackedRequest | undefined {
    return this.#storage.getStore() ?? this.#now;
  }

  /** Hands a request on to the application. */
  run(record: TrackedRequest, event: string, passOn: PassOn): boolean {
    if (this.#following) return this.#storage.run(record, passOn, event, record.request, record.response);
    const outer = this.#now;
    this.#now = record;
    try {
      return passOn(event, record.request, record.response);
    } finally {
      this.#now = outer;
    }
  }

  /** One more request is about to come. */
  expect(): void {
    if (!this.#following) return;
    this.#patience -= 1;
    if (this.#patience >= 0) return;
    this.#onGiveUp();
    this.#following = false;
    this.#storage.disable();
  }

  /** Jobs are begun in requests here: follows them from now on. */
  keepFollowing(): void {
    this.#following = true;
    this.#patience = Number.POSITIVE_INFINITY;
  }
}
