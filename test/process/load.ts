import { Agent, get } from 'node:http';

/** Clients that ask one after the other without a pause, and count what goes wrong. Nobody tries anything again. */
export class Load {
  readonly #port: number;
  readonly #agent: Agent;
  readonly #failures: string[] = [];
  readonly #clients: Promise<void>[];
  /** Milliseconds that each answer took. */
  readonly tookMs: number[] = [];
  #waiters: (() => void)[] = [];
  #stopped = false;

  constructor(
    port: number,
    { clients, keepAlive }: { readonly clients: number; readonly keepAlive: boolean },
  ) {
    this.#port = port;
    this.#agent = new Agent({ keepAlive, maxSockets: clients });
    this.#clients = Array.from({ length: clients }, () => this.#ask());
  }

  /** Resolves after so many more answers. */
  async answers(count: number): Promise<void> {
    const goal = this.tookMs.length + count;
    while (this.tookMs.length < goal && this.#failures.length === 0)
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  /** @returns what went wrong. */
  async stop(): Promise<readonly string[]> {
    this.#stopped = true;
    await Promise.all(this.#clients);
    this.#agent.destroy();
    return this.#failures;
  }

  async #ask(): Promise<void> {
    while (!this.#stopped) {
      const startedAt = performance.now();
      const failure = await this.#once();
      if (failure === undefined) this.tookMs.push(performance.now() - startedAt);
      else this.#failures.push(failure);
      for (const wake of this.#waiters.splice(0)) wake();
    }
  }

  #once(): Promise<string | undefined> {
    return new Promise((resolve) => {
      get({ port: this.#port, host: '127.0.0.1', agent: this.#agent }, (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode === 200 ? undefined : `${response.statusCode}`));
        response.on('error', (error) => resolve(error.message));
      }).on('error', (error) => resolve(error.message));
    });
  }
}
