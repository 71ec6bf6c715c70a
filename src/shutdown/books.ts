import { toError } from '../errors.js';
import type {
  DeliveryOutcome,
  HandlerReport,
  NotifierReport,
  PhaseReport,
  ShutdownReport,
} from '../report.js';

/** What the run itself knows at its end. */
export interface RunFacts
  extends Pick<
    ShutdownReport,
    'reason' | 'service' | 'instanceId' | 'startedAt' | 'durationMs' | 'budgetMs' | 'errors'
  > {
  /** Jobs that were open when the trigger came. */
  readonly open: number;
  /** Jobs that were begun after it. */
  readonly begun: number;
  /** The exit code is not smaller, whatever else happened. */
  readonly leastCode: number;
}

/** What happened in a run, written down as it happens; in the end it is the report. */
export class Books {
  readonly handlers: HandlerReport[] = [];
  readonly phases: PhaseReport[] = [];
  readonly #outcomes = { delivered: 0, rejected: 0, expired: 0 };
  #incomplete = 0;
  #notifiers: readonly NotifierReport[] = [];
  #failed = false;

  /** The snapshot was taken, with so many jobs in it. */
  sealed(jobs: number): void {
    this.#incomplete = jobs;
  }

  /** One job of the snapshot has its outcome. */
  reported(outcome: DeliveryOutcome): void {
    this.#outcomes[outcome] += 1;
  }

  /** Delivery has ended. */
  delivered(notifiers: readonly NotifierReport[]): void {
    this.#notifiers = notifiers;
  }

  /** Something went wrong that is no handler's fault. */
  fail(): void {
    this.#failed = true;
  }

  close({ open, begun, leastCode, errors, ...facts }: RunFacts): ShutdownReport {
    const incomplete = this.#incomplete;
    const { delivered, rejected } = this.#outcomes;
    // Whatever has no outcome when the time is up was not taken.
    const expired = incomplete - delivered - rejected;
    const finished = open + begun - incomplete;
    const failed = this.handlers.some(({ outcome }) => outcome === 'failed' || outcome === 'timed-out');
    const unclean = failed || this.#failed || rejected + expired > 0 || facts.reason.kind === 'error';
    return Object.freeze({
      ...facts,
      exitCode: Math.max(unclean ? 1 : 0, leastCode),
      phases: this.phases,
      handlers: this.handlers,
      jobs: { open, begun, finished, incomplete, delivered, rejected, expired },
      notifiers: this.#notifiers,
      errors: errors.map(toError),
    });
  }
}
