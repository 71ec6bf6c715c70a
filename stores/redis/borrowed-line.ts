import { messageOf } from '../../src/errors.js';
import { failure, type Line, type LineListener, Pauses, type RedisClient } from './line.js';

/** Somebody else's connection: used as it is, never opened or closed by us. */
export class BorrowedLine implements Line {
  readonly #client: RedisClient;
  readonly #pauses = new Pauses();
  #listener: LineListener | undefined;

  constructor(client: RedisClient) {
    this.#client = client;
  }

  get isUp(): boolean {
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
    this.#client.on('ready', this.#up);
    for (const event of ['close', 'end'] as const) this.#client.on(event, this.#down);
    if (this.isUp) listener.up();
  }

  /** It is up when its owner makes it so. */
  await(): void {}

  hurry(): void {
    // Nobody will open it again.
    if (this.#client.status === 'end') this.#down();
  }

  drop(error: Error): void {
    this.#listener?.down(error);
    this.#pauses.start(this.#up);
  }

  close(): void {
    this.#pauses.stop();
    this.#client.off('ready', this.#up);
    for (const event of ['close', 'end'] as const) this.#client.off(event, this.#down);
  }

  readonly #up = (): void => {
    if (this.isUp) this.#listener?.up();
  };

  readonly #down = (): void =>
    this.#listener?.down(failure('the connection of the client that redisStore was given is closed'));
}
