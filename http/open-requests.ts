import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { DeliveryOutcome, JobView } from '../src/index.js';
import type { AnswerOutcome } from './answer.js';
import type { Client } from './clients.js';

/** A request whose response has not closed. */
export interface OpenRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The jobs begun while it was handled and not finished. */
  readonly jobs: readonly JobView[];
}

/** How a request ended: answered by the application or as it chose · told to try again · cut off by us · left by the client. */
export type RequestEnding = 'answered' | 'refused' | 'reset' | 'left';

interface RequestJob {
  readonly job: JobView;
  outcome: DeliveryOutcome | undefined;
}

/** The working form of an {@link OpenRequest}. Its list of jobs is made with the first one. */
export class TrackedRequest implements OpenRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly client: Client;
  readonly owner: OpenRequests;
  /** Being answered by us. */
  answering = false;
  /** Our answer was "try again". */
  refused = false;
  jobsById: Map<string, RequestJob> | undefined = undefined;

  constructor(request: IncomingMessage, response: ServerResponse, client: Client, owner: OpenRequests) {
    this.request = request;
    this.response = response;
    this.client = client;
    this.owner = owner;
  }

  get jobs(): readonly JobView[] {
    return this.jobsById ? Array.from(this.jobsById.values(), ({ job }) => job) : [];
  }

  /** Whether every unfinished job's report has an outcome; not so without jobs. */
  get reported(): boolean {
    if (this.jobsById === undefined || this.jobsById.size === 0) return false;
    for (const { outcome } of this.jobsById.values()) if (outcome === undefined) return false;
    return true;
  }

  /** The worst of its jobs' outcomes; a report without one was not accepted. */
  get outcome(): AnswerOutcome {
    const outcomes = Array.from(this.jobsById?.values() ?? [], ({ outcome }) => outcome ?? 'expired');
    if (outcomes.length === 0) return 'no-jobs';
    if (outcomes.includes('rejected')) return 'rejected';
    return outcomes.includes('expired') ? 'expired' : 'delivered';
  }
}

const current = new AsyncLocalStorage<TrackedRequest>();

/** Knows every request of one server that is open, and which jobs belong to it. */
export class OpenRequests implements Iterable<TrackedRequest> {
  readonly #open = new Map<ServerResponse, TrackedRequest>();
  readonly #byJob = new Map<string, TrackedRequest>();
  readonly #onEnd: (record: TrackedRequest, ending: RequestEnding) => void;

  constructor(onEnd: (record: TrackedRequest, ending: RequestEnding) => void) {
    this.#onEnd = onEnd;
  }

  get size(): number {
    return this.#open.size;
  }

  [Symbol.iterator](): Iterator<TrackedRequest> {
    return this.#open.values();
  }

  has(response: ServerResponse): boolean {
    return this.#open.has(response);
  }

  /** Opens a request; it ends by itself with its response's `close`. */
  begin(request: IncomingMessage, response: ServerResponse, client: Client): TrackedRequest {
    const record = new TrackedRequest(request, response, client, this);
    client.requests += 1;
    this.#open.set(response, record);
    response.on('close', this.#closed);
    return record;
  }

  /** Runs `work` so that jobs begun in it, now or later, belong to the request. */
  run<Args extends unknown[], T>(record: TrackedRequest, work: (...args: Args) => T, ...args: Args): T {
    return current.run(record, work, ...args);
  }

  /** Gives a job that was begun just now to the request it was begun in. */
  adopt(job: JobView): void {
    const record = current.getStore();
    if (record?.owner !== this || !this.#open.has(record.response)) return;
    record.jobsById ??= new Map();
    record.jobsById.set(job.id, { job, outcome: undefined });
    this.#byJob.set(job.id, record);
  }

  /** A job was finished: its request needs no report of it. */
  release(job: JobView): void {
    const record = this.#byJob.get(job.id);
    if (record?.jobsById?.get(job.id)?.job !== job) return;
    record.jobsById.delete(job.id);
    this.#byJob.delete(job.id);
  }

  /** A job's report was accepted or given up. @returns its request if that is still open. */
  reported(jobId: string, outcome: DeliveryOutcome): TrackedRequest | undefined {
    const record = this.#byJob.get(jobId);
    const job = record?.jobsById?.get(jobId);
    if (job) job.outcome = outcome;
    return record;
  }

  /** Ends requests whose connection is gone; pipelined ones get no `close` of their own. */
  abandon(client: Client): void {
    if (client.requests === 0) return;
    for (const record of [...this.#open.values()]) if (record.client === client) this.end(record, 'left');
  }

  /** Ends a request, once; later calls have no effect. */
  end(record: TrackedRequest, ending: RequestEnding): void {
    if (!this.#open.delete(record.response)) return;
    record.client.requests -= 1;
    for (const id of record.jobsById?.keys() ?? []) {
      if (this.#byJob.get(id) === record) this.#byJob.delete(id);
    }
    this.#onEnd(record, ending);
  }

  // One function for all responses: it finds its request by `this`.
  readonly #closed = ((requests: OpenRequests) =>
    function (this: ServerResponse): void {
      const record = requests.#open.get(this);
      if (record === undefined) return;
      if (!this.writableFinished) requests.end(record, 'left');
      else requests.end(record, record.refused ? 'refused' : 'answered');
    })(this);
}
