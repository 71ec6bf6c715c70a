import { isGroupAlive } from './process-table.js';

interface Looks {
  readonly leastMs: number;
  readonly mostMs: number;
}

/** Between two looks. The pauses grow, as each look may read all of /proc. */
const LOOKS: Readonly<Record<'idle' | 'awaited', Looks>> = {
  idle: { leastMs: 500, mostMs: 5000 },
  awaited: { leastMs: 20, mostMs: 200 },
};
const GROWTH = 1.5;

/** The end of a process group whose leader has ended: nobody tells of it, so it is looked for. */
export class GroupEnd {
  #pauseMs = 0;
  #isAwaited = false;
  /** Ends the pause between two looks. */
  #wake: () => void = () => {};

  /** Whether somebody waits for it. Then looks come sooner, the next one now, and they keep the process alive. */
  expect(isAwaited: boolean): void {
    this.#isAwaited = isAwaited;
    this.#pauseMs = 0;
    this.#wake();
  }

  /** Resolves when nobody of the group is left. */
  async of(leader: number): Promise<void> {
    while (isGroupAlive(leader)) await this.#pause();
  }

  #pause(): Promise<void> {
    const { leastMs, mostMs } = LOOKS[this.#isAwaited ? 'awaited' : 'idle'];
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * GROWTH, leastMs), mostMs);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#pauseMs);
      if (!this.#isAwaited) timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
