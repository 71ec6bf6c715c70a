import type { ShutdownConfig } from './config.js';
import type { Reporter } from './delivery/reporter.js';
import { messageOf } from './errors.js';
import type { JobHandle } from './jobs/job-handle.js';
import { JobKeeper } from './jobs/keeper.js';
import { RecordBook } from './jobs/record.js';
import { Sealer } from './jobs/sealing.js';
import type { Logger } from './logger.js';
import { reasonName, type ShutdownReason } from './reason.js';
import { createSerialiser, loadSerialisersNow } from './safe-json.js';
import type { OrphanWatch } from './safekeeping/orphans.js';
import { writeAccount } from './safekeeping/owner-account.js';
import type { JobStore } from './store.js';

/** What it needs from its bus. */
export interface SafekeepingHost {
  readonly config: ShutdownConfig;
  readonly instanceId: string;
  readonly log: Logger;
  openJobs(): Iterable<JobHandle>;
  /** Records are in memory only from here on, or (`undefined`) in the store again. */
  degraded(error: Error | undefined): void;
}

/** How orphans are looked for. */
export interface OrphanSearch {
  /** There is no later: also in a pause because nobody took anything. */
  readonly isLast?: boolean;
  /** An instance whose process was seen to end. */
  readonly dead?: string | undefined;
}

/** All that a bus has to do with its store: what it writes, what it says of itself, and what others left behind. */
export class Safekeeping {
  readonly keeper: JobKeeper;
  readonly #host: SafekeepingHost;
  readonly #records: RecordBook;
  readonly #startedAt: string;
  #watch: OrphanWatch | undefined;
  #started: Promise<void> = Promise.resolve();
  /** Others may end while this process does, and nobody else is there for them. */
  #survives = false;
  #stopping: string | undefined;
  #stopped: string | undefined;
  #closed = false;

  constructor(store: JobStore, host: SafekeepingHost) {
    const { config, instanceId, log } = host;
    this.#host = host;
    this.#startedAt = new Date(config.clock.wallTime()).toISOString();
    loadSerialisersNow();
    const sealer = config.storeKeys.length > 0 ? new Sealer(config.storeKeys) : undefined;
    this.#records = new RecordBook(instanceId, createSerialiser(config.redact), sealer);
    this.keeper = new JobKeeper({
      store,
      instanceId,
      records: this.#records,
      log,
      describe: () => this.#describe(),
      openJobs: () => host.openJobs(),
      degraded: (error) => host.degraded(error),
    });
  }

  /** Opens the store at once, and looks for what others left in it in the background. */
  open(reporter: Reporter): void {
    this.keeper.open();
    this.#started = this.#startWatch(reporter).catch((error: unknown) =>
      this.#host.log.error(`nobody looks for jobs that others left: ${messageOf(error)}`),
    );
  }

  /** Looks for what others left, now and also while this process ends. Resolves when what was found has its outcome. */
  async reportOrphansNow({ isLast = false, dead }: OrphanSearch): Promise<void> {
    this.#survives = true;
    await this.#started;
    if (dead !== undefined) await this.#expire(dead);
    await this.#watch?.look({ isLast });
  }

  /** The shutdown has begun: survivors will know, and nothing of others is taken any more. */
  stop(reason: ShutdownReason): void {
    this.#stopping = reasonName(reason);
    if (!this.#survives) this.#watch?.stop();
    void this.keeper.beat();
  }

  /** What can be reported was. What is left is for others. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopped = this.#stopping;
    await this.#watch?.close();
    await this.keeper.close();
  }

  /** What cannot be said now is found out later. */
  async #expire(instanceId: string): Promise<void> {
    const { store } = this.keeper;
    try {
      await store.expire?.(instanceId);
    } catch (error) {
      const { log } = this.#host;
      log.info(`store ${store.name}: the lease of ${instanceId} ends by itself: ${messageOf(error)}`);
    }
  }

  async #startWatch(reporter: Reporter): Promise<void> {
    const { OrphanWatch } = await import('./safekeeping/orphans.js');
    if (this.#closed) return;
    const { clock } = this.#host.config;
    this.#watch = new OrphanWatch({
      keeper: this.keeper,
      records: this.#records,
      clock,
      log: this.#host.log,
      ready: () => reporter.ready(),
      deliver: (envelopes, plan) => reporter.reportOrphans(envelopes, plan),
    });
    this.#watch.start();
    if (this.#stopping !== undefined && !this.#survives) this.#watch.stop();
  }

  #describe(): string {
    const { config } = this.#host;
    return writeAccount({
      service: config.service,
      host: process.getBuiltinModule('node:os').hostname(),
      pid: process.pid,
      startedAt: this.#startedAt,
      seenAt: new Date(config.clock.wallTime()).toISOString(),
      rssBytes: residentBytes(),
      stopping: this.#stopping,
      stopped: this.#stopped,
    });
  }
}

/** `undefined` when it cannot be read now: with no file descriptor left, say. */
function residentBytes(): number | undefined {
  try {
    return process.memoryUsage.rss();
  } catch {
    return undefined;
  }
}
