import type { Envelope } from './envelope.js';

/**
 * One way to tell somebody about unfinished jobs. Two methods matter: `name` and `deliver`.
 *
 * ```
 *  delivery.ts                              a notifier
 *  batches, attempts, back-off,   deliver(batch, { signal, attempt })
 *  fan-out, fail-over, deadline  ─────────────────────────────────────▶  one try, over the wire
 *                                ◀─────────────────────────────────────
 *                                 one receipt an envelope, in order
 * ```
 *
 * A notifier never retries, starts no timers, never throws for the far end's failures and settles soon after
 * `signal` aborts. One that throws is treated as if every receipt were `retryable`: its bug loses no job.
 * Prove yours with `notifierConformance` from `shutdown-bus/testing`.
 */
export interface Notifier {
  /** Shown in logs and reports; unique on its bus. */
  readonly name: string;
  /** Envelopes a call. @default 1 */
  readonly maxBatchSize?: number;
  /** Bytes of JSON a call, the envelopes' own sizes added up. A larger envelope goes out truncated. @default no limit */
  readonly maxBatchBytes?: number;
  /** Calls under way at the same time. @default 8 */
  readonly maxConcurrency?: number;
  /**
   * It reads the attributes of an envelope and its text by `envelopeJson`, but never `data`: payloads need not be
   * parsed for it. @default false
   */
  readonly textOnly?: boolean;
  deliver(batch: readonly Envelope[], context: DeliverContext): Promise<readonly Receipt[]>;
  /** Loads the SDK, resolves the name, opens the connection, fetches the token: called at start, in the background. */
  warmUp?(): Promise<void>;
  /** Lets go of sockets and files. Safe to call twice. */
  close?(): Promise<void>;
}

/** What `deliver` is told about the call. */
export interface DeliverContext {
  /** Aborted when this attempt's time is up. */
  readonly signal: AbortSignal;
  /** 1 for the first try of this batch. */
  readonly attempt: number;
}

/** What became of one envelope in one call. `id` is the envelope's. */
export type Receipt = { readonly id: string } & (
  | { readonly status: 'delivered' }
  | {
      readonly status: 'retryable';
      readonly error: Error;
      /** The far end asked to be left alone for so many milliseconds. */
      readonly retryAfterMs?: number;
    }
  | {
      readonly status: 'rejected';
      readonly error: Error;
      /**
       * The whole batch was refused and one envelope in it may be the reason: deliver the halves separately,
       * so that one bad payload costs no other job its report.
       */
      readonly divisible?: boolean;
    }
);
