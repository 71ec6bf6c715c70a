import type { Orphan } from '../../src/store.js';
import { keyOf } from './keys.js';

/** What is in our hand of one instance's jobs. */
export class Hand {
  /** Of the copy they were claimed from. */
  readonly epoch: string;
  readonly fields = new Set<string>();
  /** All that it still has is in our hand. */
  isAll = false;
  /** Their try was taken back already. */
  readonly #untried = new Set<string>();

  constructor(epoch: string) {
    this.epoch = epoch;
  }

  /** @param claimed field, record, checkpoint and tries of each, in turn */
  take(
    claimed: readonly (string | number | null)[],
  ): Pick<Orphan, 'key' | 'record' | 'progress' | 'tries'>[] {
    const jobs = [];
    for (let at = 0; at < claimed.length; at += 4) {
      const [field, record, progress, tries] = claimed.slice(at, at + 4) as [
        string,
        string,
        string | null,
        number,
      ];
      this.fields.add(field);
      jobs.push({ key: keyOf(field), record, progress: progress ?? undefined, tries });
    }
    return jobs;
  }

  /** Their try is taken back, and they stay. */
  takeBack(fields: readonly string[]): void {
    for (const field of fields) this.#untried.add(field);
  }

  /** Those whose try is still to be taken back, and the others. */
  byTry(fields: readonly string[]): {
    readonly tried: readonly string[];
    readonly untried: readonly string[];
  } {
    return {
      tried: fields.filter((field) => !this.#untried.has(field)),
      untried: fields.filter((field) => this.#untried.has(field)),
    };
  }

  letGo(fields: readonly string[]): void {
    for (const field of fields) {
      this.fields.delete(field);
      this.#untried.delete(field);
    }
    this.isAll = false;
  }
}
