import type { Envelope } from './envelope.js';

/** What a store keeps of one open job: all that a survivor needs to report it. */
export interface StoredJob {
  /** Unique among the open jobs of its instance. */
  readonly id: string;
  /** Unique among all jobs its instance ever reported; its envelope is `<instanceId>/<key>`. The id, unless that was used before. */
  readonly key: string;
  readonly type: string;
  readonly payload: unknown;
  /** The last checkpoint, `undefined` before the first. */
  readonly progress?: unknown;
  /** RFC 3339. */
  readonly startedAt: string;
}

/**
 * Where open jobs are kept, so that somebody can report them when their process cannot.
 * An envelope leaves the store only when its job was completed or every notifier took it.
 */
export interface JobStore {
  readonly name: string;
  /** The records outlive the process. */
  readonly durable: boolean;
  put(job: StoredJob): void;
  checkpoint(key: string, progress: unknown): void;
  /** The job was completed. Unknown keys are ignored. */
  delete(key: string): void;
  /** Envelopes of jobs whose owner is gone, each given to one caller only. */
  claimOrphans(): Promise<readonly Envelope[]>;
  /** Every notifier took these envelopes. Unknown ids are ignored. */
  markDelivered(envelopeIds: readonly string[]): Promise<void>;
  /** Safe to call twice. */
  close(): Promise<void>;
}
