import { messageOf } from '../../src/errors.js';
import { failure, type Line, type LineListener, Pauses, type RedisClient } from './line.js';

/** Somebody else's connection: used as it is, never opened or closed by us. */
export class BorrowedLine implements Line {
  readonly #client: RedisClient;
  readonly #pauses = new Pauses();
  #listener: LineListener | undefined;
  /** Not to be used before a pause is over, or it is connected anew: it refused, or gave a wrong answer. */
  #isDropped = false;

  constructor(client: RedisClient) {
    this.#client = client;
  }

  get isUp(): boolean {
    if (this.#isDropped) return false;
    // `wait`: it connects when it is used.
    return this.#client.status === 'ready' || this.#client.status === 'wait';
  }

  async eval(script: string, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    try {
      return await this.#client.eval(script, keys.length, ...keys, ...args);
    } catch (error) {
      throw failure(`Redis: ${messageOf(error)}`);
    }
  }

  start(listener: LineListener): void {
    this.#listener = listener;
    this.#client.on('ready', this.#again);
    for (const event of ['close', 'end'] as const) this.#client.on(event, this.#down);
    this.#up();
  }

  /** It is up when its owner makes it so. */
  await(): void {}

  hurry(): void {
    // Nobody will open it again.
    if (this.#client.status === 'end') this.#down();
    else if (this.#isDropped) this.#again();
  }

  drop(error: Error): void {
    this.#isDropped = true;
    this.#listener?.down(error);
    this.#pauses.start(this.#again);
  }

  close(): void {
    this.#isDropped = true;
    this.#pauses.stop();
    this.#client.off('ready', this.#again);
    for (const event of ['close', 'end'] as const) this.#client.off(event, this.#down);
  }

  readonly #again = (): void => {
    this.#isDropped = false;
    this.#pauses.stop();
    this.#up();
  };

  #up(): void {
    if (!this.isUp) return;
    this.#pauses.up();
    this.#listener?.up();
  }

  readonly #down = (): void =>
    this.#listener?.down(failure('the connection of the client that redisStore was given is closed'));
}
