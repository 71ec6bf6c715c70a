// @ts-check

/** Lets many wait for what they each look for in something that changes. */
export class Watchers {
  /** @type {Set<() => void>} */
  #looks = new Set();

  /** Something has changed. */
  look() {
    for (const look of [...this.#looks]) look();
  }

  /**
   * Resolves with `true` when `test` holds, with `false` when `gone` does or `limitMs` are over.
   * @param {() => boolean} test
   * @param {{ gone?: () => boolean, limitMs?: number }} [until]
   * @returns {Promise<boolean>}
   */
  until(test, { gone = () => false, limitMs } = {}) {
    return new Promise((resolve) => {
      const settle = (/** @type {boolean} */ answer) => {
        this.#looks.delete(look);
        clearTimeout(timer);
        resolve(answer);
      };
      const look = () => {
        if (test()) settle(true);
        else if (gone()) settle(false);
      };
      const timer = limitMs === undefined ? undefined : setTimeout(() => settle(false), limitMs);
      this.#looks.add(look);
      look();
    });
  }
}
