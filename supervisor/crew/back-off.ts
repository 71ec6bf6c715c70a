/** Workers that live longer than this are no crash loop. */
const CALM_MS = 5000;
const FIRST_MS = 100;
const MOST_MS = 30_000;

/** How long to wait before the place of a dead worker is taken: nothing at first, twice as long for each that dies young. */
export class BackOff {
  #ms = 0;

  /** @param livedMs how long the dead one has lived. @returns milliseconds. */
  next(livedMs: number): number {
    if (livedMs >= CALM_MS) {
      this.#ms = 0;
      return 0;
    }
    const ms = this.#ms;
    this.#ms = Math.min(MOST_MS, Math.max(FIRST_MS, ms * 2));
    // Several workers that die of one cause should not come back in one moment.
    return ms * (0.75 + Math.random() / 2);
  }
}
