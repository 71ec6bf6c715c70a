/** One open job as a store keeps it. Both texts are the core's own: redacted, and encrypted where a key is set. */
export interface StoredJob {
  /** Any text; unique among all jobs its instance ever begins. The job's envelope is `<instanceId>/<key>`. */
  readonly key: string;
  /** All that a survivor needs to report the job. */
  readonly record: string;
  /** The last checkpoint, `undefined` before the first. */
  readonly progress?: string | undefined;
}

/** The process that a store keeps jobs for, as the store sees it. */
export interface StoreOwner {
  /** 12 hex digits. */
  readonly instanceId: string;
  /** What a survivor should know of this process, as text. Asked for at `open`, at each heartbeat and at `close`. */
  describe(): string;
  /** Every job the store should hold now: for one that has lost what it held. */
  jobs(): Iterable<StoredJob>;
  /** For what happens between two calls: the store cannot keep records for now, or (`undefined`) it can again. */
  trouble(error: Error | undefined): void;
  /** Something its operator should know. */
  warn(line: string): void;
}

/** An open job whose owner is gone. */
export interface Orphan extends StoredJob {
  readonly instanceId: string;
  /** What its owner said of itself last; empty when that is lost. */
  readonly owner: string;
  /** How often it was claimed and neither delivered nor given back, this time included: 1 for the first. */
  readonly tries: number;
}

/** Which orphans are asked for. */
export interface ClaimOptions {
  /**
   * Those that would be claimed for more than the so-manieth time are left out: a process that has just started may die of anything,
   * and none of it is to be put down to a job. @default all
   */
  readonly mostTries?: number;
}

/** A name that one process owns, as its store gave it. */
export interface StoreOwnership {
  /**
   * Aborted when it is over: it was released, the store was closed, or it was lost; then `reason` is a `ShutdownError`,
   * `OWNERSHIP_LOST`. While it is not aborted, and for as long after a loss as the store says, nobody else gets the name.
   */
  readonly signal: AbortSignal;
  /**
   * An owner died with the name, at least so many milliseconds ago: what it has started may still be ending. A store that can know
   * it says so also where another one had the name in between. `undefined` when it was given up, or there was none.
   */
  readonly deadMs?: number | undefined;
  /**
   * Somebody else may own the name. Resolves when others can know, or cannot be told: then it ends by itself. Never rejects, safe to
   * call twice, and no end to what the next owner has.
   */
  release(): Promise<void>;
}

/**
 * Where open jobs are kept, so that somebody can report them when their process cannot.
 *
 * ```
 *  begin ──▶ put ── checkpoint … ──▶ delete               the owner completed it
 *                                └─▶ markDelivered        every notifier took its report
 *                                └─▶ close, or death ──▶ claimOrphans ──▶ markDelivered   a survivor reported it
 *                                                              ▲     ├──▶ giveBack        not now
 *                                                              └─────┘└─▶ setAside        never again
 * ```
 *
 * A job leaves the store only when it was completed or every notifier took its envelope. What a store throws or
 * rejects with costs no job its report: the core holds it in memory and says so.
 * Prove yours with `storeConformance` from `shutdown-bus/testing`.
 */
export interface JobStore {
  /** Shown in logs. */
  readonly name: string;
  /** The records outlive the process. */
  readonly durable: boolean;
  /** Milliseconds between two heartbeats, each followed by a look for orphans. @default 2000 */
  readonly heartbeatMs?: number;
  /** Called once before anything else; again after it threw. Opens what must be open, without waiting. */
  open?(owner: StoreOwner): void;
  /**
   * Keeps a job; one with the same key is replaced. When it returns, or when its promise resolves, a kill of the process
   * can no longer lose the record. Never waits for anything slow: a promise instead.
   */
  put(job: StoredJob): void | Promise<void>;
  /** Keeps how far a job has come. Unknown keys are ignored. */
  checkpoint(key: string, progress: string): void;
  /** The job was completed. Unknown keys are ignored. */
  delete(key: string): void;
  /** This process lives. Called every `heartbeatMs`, later while its event loop is blocked. */
  heartbeat?(): void | Promise<void>;
  /**
   * Some open jobs of instances that are gone, each given to one caller only; empty when there are none. What is claimed
   * stays claimed until it is delivered, given back or set aside, or its claimer is gone as well. One that was tried
   * before comes in small company, tried twice it comes alone: whatever kills its reporter will be found out.
   */
  claimOrphans(options?: ClaimOptions): Promise<readonly Orphan[]>;
  /** Every notifier took these envelopes, whoever began their jobs. Unknown ids are ignored. */
  markDelivered(envelopeIds: readonly string[]): Promise<void>;
  /**
   * Claimed, and not reported now. `tried: false` takes the try back. `keep: true` takes it back and goes on holding them: their
   * far end refused them, and nobody is to try again while this process lives.
   */
  giveBack?(
    envelopeIds: readonly string[],
    options: { readonly tried: boolean; readonly keep?: boolean },
  ): Promise<void>;
  /** Not to be claimed again, whoever began them: kept for a person to look at. Unknown ids are ignored. */
  setAside?(envelopeIds: readonly string[]): Promise<void>;
  /**
   * That instance is dead: whoever says so has seen its process end. A store that finds this out by a lease ends it, so that what was left
   * can be claimed at once. Unknown instances are ignored.
   */
  expire?(instanceId: string): Promise<void>;
  /**
   * Makes this process the one owner of a name, any text, for all processes that use the place; `undefined` when another one is, or
   * this one already. A name is given up by `release` and `close`, and is free when its owner is dead, however it died. Settles as soon
   * as that can be known, or with `undefined` soon after `signal` aborts: never waits until it is free. After `close` nothing is owned.
   */
  own?(name: string, signal?: AbortSignal): Promise<StoreOwnership | undefined>;
  /** Lets go: what is still kept is an orphan from here on. Safe to call twice. */
  close(): Promise<void>;
}
