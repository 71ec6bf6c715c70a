/**
 * Whether Redis was heard of without a gap for as long as a lease lasts. Only then is a lease that is over a sign of death: after
 * Redis was away, those of the living are over too, and need the time to come back.
 */
export class Pulse {
  readonly #leaseMs: number;
  #firstMs = Number.NaN;
  #lastMs = Number.NaN;

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  /** The own lease was renewed. */
  beat(nowMs: number = performance.now()): void {
    if (!(nowMs - this.#lastMs <= this.#leaseMs / 2)) this.#firstMs = nowMs;
    this.#lastMs = nowMs;
  }

  /** Redis was away, or another one. */
  stop(): void {
    this.#lastMs = Number.NaN;
  }

  isSteady(nowMs: number = performance.now()): boolean {
    return nowMs - this.#lastMs <= this.#leaseMs / 2 && nowMs - this.#firstMs >= this.#leaseMs;
  }
}
