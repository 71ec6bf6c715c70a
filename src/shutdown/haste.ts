import type { ShutdownConfig } from '../config.js';
import type { ShutdownEvents } from '../events.js';
import type { Logger } from '../logger.js';
import type { ShutdownRun } from '../shutdown.js';

/** What it needs from its bus. */
export interface HasteHost {
  readonly config: ShutdownConfig;
  readonly log: Logger;
  readonly run: () => ShutdownRun | undefined;
  readonly hurried: (event: ShutdownEvents['hurried'][0]) => void;
}

/** How much time one shutdown has: as planned, more when it was begun without haste, less once somebody hurries it. */
export class Haste {
  readonly #host: HasteHost;
  #budgetMs: number;
  #isHurried = false;
  /** One more signal belongs to the trigger. */
  #isAnnounced = false;

  constructor(host: HasteHost) {
    this.#host = host;
    this.#budgetMs = host.config.budgetMs;
  }

  /** Of this shutdown. */
  get budgetMs(): number {
    return this.#budgetMs;
  }

  /** Whether it has more time than planned. */
  get isUnhurried(): boolean {
    return this.#budgetMs > this.#host.config.budgetMs;
  }

  /** Before it begins: so much time. @param isAnnounced the signal that begins it is still to come. */
  plan(budgetMs: number, isAnnounced: boolean): void {
    this.#budgetMs = budgetMs;
    this.#isAnnounced = isAnnounced;
  }

  /** It has begun. */
  begun(): void {
    if (this.#isHurried) this.#host.run()?.hurry();
  }

  /** No time for what could still finish. */
  hurry(): void {
    const { log, run, hurried } = this.#host;
    this.#isHurried = true;
    log.info('SIGQUIT: the rest of the drain is left out');
    run()?.hurry();
    hurried({ drainMs: 0 });
  }

  /**
   * The usual time from now on: whoever sends SIGTERM in the middle of it is a platform, and its own time runs.
   * @returns whether there was more.
   */
  limit(): boolean {
    const { config, log, run, hurried } = this.#host;
    if (!this.isUnhurried || run() === undefined) return false;
    if (this.#isAnnounced) {
      this.#isAnnounced = false;
      return true;
    }
    const { clock, budgetMs, reserveMs, releaseReserveMs, interruptGraceMs } = config;
    this.#budgetMs = budgetMs;
    const drainMs = budgetMs - reserveMs - releaseReserveMs - interruptGraceMs;
    log.info(`the usual budget from now on: ${drainMs} ms of drain`);
    clock.setTimeout(() => run()?.hurry(), drainMs);
    hurried({ drainMs });
    return true;
  }
}
