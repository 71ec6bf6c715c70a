/** What the shutdown did to one worker's jobs; all zero until the trigger. Also the `details` of its handlers in the report. */
export interface WorkerCounts {
  /** Jobs active at the trigger. */
  readonly activeAtStop: number;
  /** Jobs completed since the trigger. */
  readonly completed: number;
  /** Jobs whose processor failed since the trigger, those that will be tried again included. */
  readonly failed: number;
  /** Unfinished jobs given back to the queue; each of them is reported too. */
  readonly givenBack: number;
  /** Jobs that were on their way to the worker at the trigger, given back before its processor saw them. */
  readonly declined: number;
  /** Jobs that could not be given back, because Redis did not answer say: the queue takes them for stalled when their lock ends. */
  readonly stranded: number;
}

/** The working form of {@link WorkerCounts}. */
export type WorkerTally = { -readonly [Name in keyof WorkerCounts]: WorkerCounts[Name] };

/** A tally with nothing in it. */
export function emptyTally(): WorkerTally {
  return { activeAtStop: 0, completed: 0, failed: 0, givenBack: 0, declined: 0, stranded: 0 };
}
