import type { Clock } from '../src/clock.js';

/** A stretch of time; what happened in it counts as having happened at its end. */
export interface Era {
  /** On the clock; `undefined` while it lasts. */
  endedAt: number | undefined;
}

/** How long an era lasts at least, in milliseconds. */
const ERA_MS = 50;

/**
 * Time in coarse pieces, for what happens often and is looked at once: reading the clock at the end of every request
 * would cost a small server a hundredth of its throughput. Nothing runs while nobody asks.
 */
export class Eras {
  readonly #clock: Clock;
  readonly #onEnd: () => void;
  /** The last one in which anything happened. */
  latest: Era | undefined = undefined;
  #timer: unknown = undefined;
  #exact = false;

  /** @param onEnd called just before an era ends. */
  constructor(clock: Clock, onEnd: () => void = () => undefined) {
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  /** The era of what happens now. */
  now(): Era {
    const { latest } = this;
    if (this.#exact) return this.#moment();
    return latest !== undefined && latest.endedAt === undefined ? latest : this.#begin();
  }

  /** From here on each moment is an era of its own; the running one ends. */
  beExact(): void {
    if (this.#exact) return;
    this.#exact = true;
    this.#clock.clearTimeout(this.#timer);
    this.#end(this.latest);
  }

  /** Begins no era that would need a timer any more. */
  dispose(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#exact = true;
  }

  #begin(): Era {
    const era: Era = { endedAt: undefined };
    this.latest = era;
    this.#timer = this.#clock.setTimeout(() => this.#end(era), ERA_MS);
    // Nothing to keep a process alive for.
    (this.#timer as Partial<NodeJS.Timeout>).unref?.();
    return era;
  }

  #end(era: Era | undefined): void {
    if (era === undefined || era.endedAt !== undefined) return;
    this.#onEnd();
    era.endedAt = this.#clock.now();
  }

  #moment(): Era {
    this.latest = { endedAt: this.#clock.now() };
    return this.latest;
  }
}
