import { messageOf } from '../src/errors.js';
import type { Logger } from '../src/index.js';
import { type Answer, problemOf, REQUEST_TIMEOUT, sendAnswer, TRY_AGAIN } from './answer.js';
import type { DrainSettings } from './options.js';
import { isLastOfConnection } from './pipeline.js';
import type { TrackedRequest } from './tracked-request.js';

/** Answers requests that cannot be finished, each on its own: what goes wrong with one stops no other. */
export class Answering {
  readonly #choice: DrainSettings['answer'];
  readonly #log: Logger;
  readonly #pending = new Set<Promise<void>>();

  constructor(choice: DrainSettings['answer'], log: Logger) {
    this.#choice = choice;
    this.#log = log;
  }

  /** Answers this request as its jobs' reports ended, once; not when the application has begun to. Never throws. */
  answer(record: TrackedRequest): void {
    if (record.answering || record.response.headersSent) return;
    record.answering = true;
    if (typeof this.#choice === 'function') {
      const answered = this.#ask(record, this.#choice);
      this.#pending.add(answered);
      void answered.then(() => this.#pending.delete(answered));
      return;
    }
    const { outcome } = record;
    const accepted = outcome === 'delivered' || outcome === 'no-jobs';
    if (this.#choice === 'wait' || !accepted) this.giveUp(record);
    else this.#send(record, this.#choice);
  }

  /** Time is up for this request: it came too slowly, or is to be tried again elsewhere. Never throws. */
  giveUp(record: TrackedRequest): void {
    this.refuse(record, record.exchange.arrived ? TRY_AGAIN : REQUEST_TIMEOUT);
  }

  /** Tells this request to try again elsewhere. Never throws. */
  refuse(record: TrackedRequest, answer = TRY_AGAIN): void {
    record.answering = true;
    record.refused = true;
    try {
      // When nothing can be sent any more, the application's answer is on its way and is the one that counts.
      if (!sendAnswer(record.response, answer, isLastOfConnection(record))) record.refused = false;
    } catch (error) {
      this.#log.warn(`a request could not be answered: ${messageOf(error)}`);
      record.response.destroy();
    }
  }

  /** Resolves when no answer is being thought about. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  async #ask(
    record: TrackedRequest,
    choose: Exclude<DrainSettings['answer'], 'wait' | Answer>,
  ): Promise<void> {
    try {
      const answer = await choose(record.request, record.jobs, record.outcome);
      const problem = problemOf(answer);
      if (problem !== undefined) throw new Error(`what it returned ${problem}`);
      this.#send(record, answer);
    } catch (error) {
      this.#log.warn(`the answer function failed for ${nameOf(record)}: ${messageOf(error)}`);
      this.refuse(record);
    }
  }

  #send(record: TrackedRequest, answer: Answer): void {
    try {
      sendAnswer(record.response, answer, isLastOfConnection(record));
    } catch (error) {
      this.#log.warn(`the chosen answer could not be sent to ${nameOf(record)}: ${messageOf(error)}`);
      this.refuse(record);
    }
  }
}

// Without the query: it may hold what belongs in no log.
function nameOf({ request }: TrackedRequest): string {
  return `${request.method} ${request.url?.split('?')[0]}`;
}
