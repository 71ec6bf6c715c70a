import type { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { DeliveryOutcome, JobView } from '../src/index.js';
import type { Client } from './client.js';
import { type Exchange, PairExchange } from './exchange.js';
import { RequestContext } from './request-context.js';
import { type RequestEnding, TrackedRequest } from './tracked-request.js';

// Where a response keeps its record. With that and a linked list a request costs no hashing: measured, a Map of
// responses took 5 % of a small server's throughput.
const RECORD = Symbol('shutdown-bus.open-request');

type Carrier = Exchange['carrier'] & { [RECORD]?: TrackedRequest | undefined };

/**
 * Knows every request of one server that is open, and which jobs belong to it.
 *
 * ```
 * noted ──▶ over when somebody looks: forgotten
 *   └─────▶ still open then: followed ──▶ ended with its close
 * ```
 *
 * To follow each request would cost a small server a twentieth of its throughput. So as long as the server only serves, those of
 * HTTP/1 are noted with their connection, and looked at with the next one on it, or when {@link settle} is called.
 */
export class OpenRequests implements Iterable<TrackedRequest> {
  readonly #byJob = new Map<string, TrackedRequest>();
  readonly #context: RequestContext<Exchange['carrier']>;
  readonly #onEnd: (record: TrackedRequest, ending: RequestEnding) => void;
  #first: TrackedRequest | undefined = undefined;
  #last: TrackedRequest | undefined = undefined;
  #size = 0;
  /** The connections with a request that was noted. */
  #noted: Client[] = [];

  /** @param jobsMatter whether the answer depends on a request's jobs: see {@link RequestContext}. */
  constructor(onEnd: (record: TrackedRequest, ending: RequestEnding) => void, jobsMatter = false) {
    this.#onEnd = onEnd;
    this.#context = new RequestContext(jobsMatter);
  }

  get size(): number {
    this.settle();
    return this.#size;
  }

  /** The oldest first. The one at hand may end meanwhile; whoever ends others takes a copy. */
  *[Symbol.iterator](): Iterator<TrackedRequest> {
    this.settle();
    let next: TrackedRequest | undefined;
    for (let record = this.#first; record !== undefined; record = next) {
      next = record.next;
      yield record;
    }
  }

  /** The request that a response or a stream of HTTP/2 belongs to, as long as it is followed. */
  of(carrier: Exchange['carrier']): TrackedRequest | undefined {
    return (carrier as Carrier)[RECORD];
  }

  /** Opens a request; it ends by itself with the `close` of its response or stream. */
  begin(exchange: Exchange, client: Client): TrackedRequest {
    const record = new TrackedRequest(exchange, client, this);
    const carrier: Carrier = exchange.carrier;
    client.requests += 1;
    client.sending = false;
    carrier[RECORD] = record;
    record.previous = this.#last;
    if (this.#last) this.#last.next = record;
    else this.#first = record;
    this.#last = record;
    this.#size += 1;
    (carrier as ServerResponse).on('close', closed);
    return record;
  }

  /** Opens a request of HTTP/1 as long as nobody needs to know when exactly it ends. */
  note(response: ServerResponse, client: Client): void {
    if (client.response === undefined) this.#noted.push(client);
    else this.#look(client);
    client.sending = false;
    client.response = response;
  }

  /** Whether this response belongs to an open request. */
  has(response: ServerResponse, client: Client): boolean {
    return client.response === response || this.of(response) !== undefined;
  }

  /** Looks at the requests that were noted: those still open are followed to their end. */
  settle(): void {
    if (this.#noted.length === 0) return;
    const noted = this.#noted;
    this.#noted = [];
    for (const client of noted) this.#look(client);
  }

  #look(client: Client): void {
    const { response } = client;
    client.response = undefined;
    if (response === undefined) return;
    const { req, destroyed } = response;
    const over = destroyed || client.socket.destroyed;
    if (over && req.complete) return;
    const record = this.begin(new PairExchange(req, response), client);
    if (over) this.end(record, record.endingOr('left'));
  }

  /**
   * Calls `work` so that jobs begun in it, now or later, belong to the request of this response or stream.
   * @param body what tells of the request's body as it arrives, if there is one
   */
  run<T>(carrier: Exchange['carrier'], body: EventEmitter | undefined, work: () => T): T {
    if (body) this.#followBody(carrier, body);
    return this.#context.run(carrier, work);
  }

  /** Node calls the listeners of a body (`request.on('end', …)`) in the context of its connection, which knows of no request. */
  #followBody(carrier: Exchange['carrier'], body: EventEmitter): void {
    const { emit } = body;
    body.emit = (...args) => this.#context.enter(carrier, () => emit.apply(body, args));
  }

  /** Gives a job that was begun just now to the request it was begun in. */
  adopt(job: JobView): void {
    const carrier = this.#context.current();
    if (carrier === undefined) return;
    this.settle();
    const record = this.of(carrier);
    if (record === undefined) return;
    record.jobsById ??= new Map();
    record.jobsById.set(job.id, { job, outcome: undefined });
    this.#byJob.set(job.id, record);
  }

  /** A job was finished: its request needs no report of it. */
  release(job: JobView): void {
    const jobs = this.#byJob.get(job.id)?.jobsById;
    // The id of a job that was reported is free again: this may be another one's.
    if (jobs?.get(job.id)?.job !== job) return;
    jobs.delete(job.id);
    this.#byJob.delete(job.id);
  }

  /** A job's report was accepted or given up. @returns its request, if that is still open. */
  reported(jobId: string, outcome: DeliveryOutcome): TrackedRequest | undefined {
    const record = this.#byJob.get(jobId);
    const job = record?.jobsById?.get(jobId);
    if (job) job.outcome = outcome;
    return record;
  }

  /** Ends requests whose connection is gone; pipelined ones get no `close` of their own. */
  abandon(client: Client): void {
    client.response = undefined;
    if (client.requests === 0) return;
    // Ended by us, it took what was pipelined behind the last answer with it.
    const ending = client.endedAt === undefined ? 'left' : 'reset';
    for (const record of this) if (record.client === client) this.end(record, ending);
  }

  /** Forgets what was noted and not yet looked at. */
  dispose(): void {
    for (const client of this.#noted.splice(0)) client.response = undefined;
  }

  /** Ends a request, once; later calls have no effect. */
  end(record: TrackedRequest, ending: RequestEnding): void {
    const carrier: Carrier = record.exchange.carrier;
    if (carrier[RECORD] !== record) return;
    carrier[RECORD] = undefined;
    if (record.previous) record.previous.next = record.next;
    else this.#first = record.next;
    if (record.next) record.next.previous = record.previous;
    else this.#last = record.previous;
    // Something begun in it may outlive it, a pooled connection say, and must not hold on to all the others.
    record.previous = undefined;
    record.next = undefined;
    this.#size -= 1;
    record.client.requests -= 1;
    for (const id of record.jobsById?.keys() ?? [])
      if (this.#byJob.get(id) === record) this.#byJob.delete(id);
    this.#onEnd(record, ending);
  }
}

// One function for all responses: it finds its request by `this`.
function closed(this: Carrier): void {
  const record = this[RECORD];
  record?.owner.end(record, record.endingOr('left'));
}
