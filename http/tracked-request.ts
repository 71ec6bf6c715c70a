import type { IncomingMessage, ServerResponse } from 'node:http';
import type { DeliveryOutcome, JobView } from '../src/index.js';
import type { AnswerOutcome } from './answer.js';
import type { Client } from './client.js';
import type { Exchange } from './exchange.js';
import type { OpenRequests } from './open-requests.js';

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
  readonly exchange: Exchange;
  readonly client: Client;
  readonly owner: OpenRequests;
  /** Neighbours in the owner's list. */
  previous: TrackedRequest | undefined = undefined;
  next: TrackedRequest | undefined = undefined;
  /** Being answered by us. */
  answering = false;
  /** Our answer was "try again". */
  refused = false;
  jobsById: Map<string, RequestJob> | undefined = undefined;

  constructor(exchange: Exchange, client: Client, owner: OpenRequests) {
    this.exchange = exchange;
    this.client = client;
    this.owner = owner;
  }

  get request(): IncomingMessage {
    return this.exchange.request;
  }

  get response(): ServerResponse {
    return this.exchange.response;
  }

  /** Whether the answer has left as a whole. */
  get finished(): boolean {
    const { client, exchange } = this;
    // Of an answer that was cut off with its connection Node says so, too: nothing of it waits any more.
    const cutOff = client.session === undefined && client.socket.destroyed;
    return exchange.carrier.writableFinished && !cutOff;
  }

  /** How it ended if nothing more of its answer can leave. @param unfinished what it is called without its whole answer */
  endingOr(unfinished: RequestEnding): RequestEnding {
    if (!this.finished) return unfinished;
    return this.refused ? 'refused' : 'answered';
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
