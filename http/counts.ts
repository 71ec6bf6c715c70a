import type { BacklogEnding } from './backlog.js';
import type { RequestEnding } from './tracked-request.js';

/**
 * What the shutdown did to one server's clients; all zero until the trigger. Also the `details` of its handlers in the report.
 *
 * ```
 * requests = answered + refused + reset + left + those still open
 * ```
 */
export interface DrainCounts {
  /** Connections open at the trigger, silent ones included. */
  readonly openAtStop: number;
  /** Requests open at the trigger. */
  readonly requestsAtStop: number;
  /** Connections accepted since the trigger, those of the backlog included. */
  readonly accepted: number;
  /** Requests open at the trigger or come since; probes are not counted. */
  readonly requests: number;
  /** Requests whose answer left the process whole: the application's own, or the chosen one. */
  readonly answered: number;
  /** Requests that were told 503 and Retry-After. */
  readonly refused: number;
  /** Requests cut off: at the deadline, or sent on a connection that had been ended. The application did not see the latter. */
  readonly reset: number;
  /** Requests whose client went away by itself. */
  readonly left: number;
  /** Upgraded connections (WebSocket, CONNECT) that were told to go. */
  readonly upgraded: number;
  /** Connections waiting in the kernel when the drain began; absent where it does not tell. */
  readonly backlogAtStart?: number;
  /** Connections waiting in the kernel when the listener closed: those were lost. */
  readonly backlogAtEnd?: number;
  /** Why the listener closed when it did; absent when it was not open. */
  readonly endedBy?: BacklogEnding;
}

/** The working form of {@link DrainCounts}. */
export class Tally {
  openAtStop = 0;
  requestsAtStop = 0;
  requests = 0;
  upgraded = 0;
  backlogAtStart: number | undefined = undefined;
  backlogAtEnd: number | undefined = undefined;
  endedBy: BacklogEnding | undefined = undefined;
  readonly #endings: Record<RequestEnding, number> = { answered: 0, refused: 0, reset: 0, left: 0 };

  /** Notes how one request ended. */
  ended(ending: RequestEnding): void {
    this.#endings[ending] += 1;
  }

  /** Notes a request that the application has not seen. */
  unseen(ending: RequestEnding): void {
    this.requests += 1;
    this.ended(ending);
  }

  /** The numbers as of now. */
  snapshot(accepted: number): DrainCounts {
    const { openAtStop, requestsAtStop, requests, upgraded, backlogAtStart, backlogAtEnd, endedBy } = this;
    return {
      openAtStop,
      requestsAtStop,
      accepted,
      requests,
      ...this.#endings,
      upgraded,
      ...(backlogAtStart !== undefined && { backlogAtStart }),
      ...(backlogAtEnd !== undefined && { backlogAtEnd }),
      ...(endedBy && { endedBy }),
    };
  }
}
