import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RedisServer, type RedisServerOptions, startRedis } from '../far-ends/redis.js';
import { deadPort } from '../far-ends/silent-server.js';

/** A Redis that can be stopped and started again at the same address, with what it kept or without. */
export class MortalRedis {
  readonly #options: Required<RedisServerOptions>;
  #server: RedisServer | undefined;

  constructor(options: Required<RedisServerOptions>) {
    this.#options = options;
  }

  get port(): number {
    return this.#options.port;
  }

  async start(): Promise<void> {
    this.#server = await startRedis(this.#options);
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    this.#server = undefined;
  }

  /** It holds its connections and answers nobody. */
  freeze(): void {
    this.#server?.freeze();
  }

  thaw(): void {
    this.#server?.thaw();
  }

  /** Forgets also what is on its disk. */
  async end(): Promise<void> {
    await this.stop();
    rmSync(this.#options.folder, { recursive: true });
  }
}

/** Starts one. */
export async function startMortalRedis(args: readonly string[] = []): Promise<MortalRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-mortal-'));
  const server = new MortalRedis({ port: await deadPort(), folder, args });
  await server.start();
  return server;
}
