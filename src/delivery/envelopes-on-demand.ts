import type { EnvelopeList } from '../delivery.js';
import type { Envelope, EnvelopeFacts, EnvelopeWriter } from '../envelope.js';
import type { JobHandle } from '../jobs/job-handle.js';

/** What an envelope says of a job beside what the job knows itself. */
export type FactsOf = (job: JobHandle) => EnvelopeFacts;

/**
 * Writes each envelope when its batch is put together, and keeps it until its outcome is known. Writing a hundred
 * thousand ahead would block the event loop for a third of the reserve.
 */
export class EnvelopesOnDemand implements EnvelopeList {
  readonly length: number;
  readonly #jobs: readonly JobHandle[];
  readonly #writer: EnvelopeWriter;
  readonly #factsOf: FactsOf;
  readonly #written: (Envelope | undefined)[];

  constructor(jobs: readonly JobHandle[], writer: EnvelopeWriter, factsOf: FactsOf) {
    this.length = jobs.length;
    this.#jobs = jobs;
    this.#writer = writer;
    this.#factsOf = factsOf;
    this.#written = new Array(jobs.length);
  }

  at(index: number): Envelope {
    let envelope = this.#written[index];
    if (envelope === undefined) {
      const job = this.#jobs[index] as JobHandle;
      envelope = this.#writer.write(job, this.#factsOf(job));
      this.#written[index] = envelope;
    }
    return envelope;
  }

  drop(index: number): void {
    this.#written[index] = undefined;
  }
}
