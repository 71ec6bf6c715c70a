// @ts-check
import { Watchers } from './watchers.js';

/** What the processes of one round do together. */
export class Round {
  #waiting;
  #watchers = new Watchers();
  #restarting;
  /** @type {Promise<void> | undefined} */
  #restarted;

  /** @param {number} size how many processes it has @param {() => Promise<void>} restart of its store */
  constructor(size, restart) {
    this.#waiting = size;
    this.#restarting = restart;
  }

  /** One of them has come to the point where all meet, or has ended. */
  arrive() {
    this.#waiting -= 1;
    this.#watchers.look();
  }

  /** Resolves when all have. */
  async met() {
    await this.#watchers.until(() => this.#waiting <= 0);
  }

  /** Once, whoever asks first. */
  restartStore() {
    this.#restarted ??= this.#restarting();
    return this.#restarted;
  }
}
