import { systemClock } from '../../src/clock.js';
import { messageOf } from '../../src/errors.js';
import type { Logger } from '../../src/index.js';
import type { ReloadReport } from '../events.js';
import { type Crew, labelOf, ORDINARY_END } from './crew.js';
import type { WorkerProcess } from './worker-process.js';

export interface RollingParts {
  readonly crew: Crew;
  readonly log: Logger;
  readonly isRunning: () => boolean;
  readonly begun: (workers: number) => void;
  readonly finished: (report: ReloadReport) => void;
}

/**
 * Replaces workers one after the other. An old one is asked to end when its successor is ready, so that there are never fewer
 * ready workers than before.
 *
 * ```
 * worker 1  ready ──────────────┐ ends
 * worker 3        starts ── ready ─────────────────────────
 * worker 2  ready ────────────────────────┐ ends
 * worker 4                  starts ── ready ───────────────
 *                                                └ restarted
 * ```
 */
export class Rolling {
  readonly #parts: RollingParts;
  /** One replacement at a time, whoever wants it. */
  #turn: Promise<unknown> = Promise.resolve();
  #reload: Promise<ReloadReport> | undefined;
  #next: Promise<ReloadReport> | undefined;

  constructor(parts: RollingParts) {
    this.#parts = parts;
  }

  get isReloading(): boolean {
    return this.#reload !== undefined;
  }

  /** Replaces all. Asked for while one is under way, another one follows: what it has started already may be old by now. */
  reload(): Promise<ReloadReport> {
    if (this.#reload === undefined) return this.#begin();
    this.#next ??= this.#reload.then(() => {
      this.#next = undefined;
      return this.#reload ?? this.#begin();
    });
    return this.#next;
  }

  /** Replaces one; not if its successor does not become ready. */
  async replace(worker: WorkerProcess): Promise<void> {
    const turn = this.#turn.then(async () => {
      if (await this.#succeed(worker)) void this.#end(worker);
    });
    this.#turn = turn;
    await turn;
  }

  #begin(): Promise<ReloadReport> {
    const reload = this.#turn.then(() => this.#replaceAll());
    this.#turn = reload;
    this.#reload = reload.then((report) => {
      this.#reload = undefined;
      this.#parts.finished(report);
      return report;
    });
    return this.#reload;
  }

  async #replaceAll(): Promise<ReloadReport> {
    const { crew, begun, log } = this.#parts;
    const startedAt = systemClock.now();
    const old = crew.serving;
    // Those whose predecessors died young: nobody waits any longer, this may be the cure.
    const started = crew.fill();
    const workers = old.length + started.length;
    const report = (outcome: 'restarted' | 'given-up', replaced: number) =>
      reportOf(this.#parts.isRunning() ? outcome : 'stopped', replaced, startedAt);
    log.info(`reload: ${workers} workers`);
    begun(workers);
    for (const worker of started) {
      if (await worker.started) continue;
      if (this.#parts.isRunning()) log.error(`worker ${labelOf(worker)} did not become ready`);
      return report('given-up', 0);
    }
    const ends: Promise<void>[] = [];
    for (const worker of old) {
      if (!(await this.#succeed(worker))) return report('given-up', started.length + ends.length);
      ends.push(this.#end(worker));
    }
    await Promise.all(ends);
    return report('restarted', workers);
  }

  /** @returns when it is gone; one that is on its way out was asked already. */
  #end(worker: WorkerProcess): Promise<void> {
    const { crew } = this.#parts;
    return crew.serving.includes(worker) ? crew.end(worker, ORDINARY_END) : worker.ended;
  }

  /** @returns whether a successor is there; there is nothing to do for one that is on its way out anyhow. */
  async #succeed(worker: WorkerProcess): Promise<boolean> {
    const { crew, isRunning, log } = this.#parts;
    if (!isRunning()) return false;
    if (!crew.serving.includes(worker)) return true;
    let what: string;
    try {
      const successor = crew.start();
      if (await successor.started) return isRunning();
      // The youngest went when there were to be fewer; this one is still to be replaced.
      if (successor.isAsked) return await this.#succeed(worker);
      what = `worker ${labelOf(successor)} did not become ready`;
    } catch (error) {
      what = `no worker can be started: ${messageOf(error)}`;
    }
    if (isRunning())
      log.error(`${what}; worker ${labelOf(worker)} stays, and what was to be replaced after it`);
    return false;
  }
}

function reportOf(outcome: ReloadReport['outcome'], workers: number, startedAt: number): ReloadReport {
  return Object.freeze({ outcome, workers, durationMs: Math.round(systemClock.now() - startedAt) });
}
