import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ShutdownError } from '../../src/errors.js';
import type { StoreOwnership } from '../../src/store.js';
import { nameKey } from './keys.js';
import { ask, failure, type Line } from './line.js';
import { KEEP_NAME, OWN_NAME, RELEASE_NAME } from './scripts.js';

/** What it needs to know of its store. */
export interface NamesHost {
  readonly line: Line;
  readonly instanceId: string;
  readonly prefix: string;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  /** Whether every living owner had the time to say so, since Redis was away or lost what it had. */
  mayJudge(): boolean;
  /** Sees whether Redis still has what it should. */
  beat(): Promise<void>;
}

/** Of `OWN_NAME`. */
const OWNED = 1;
const UNKNOWN = -1;

/** An answer that takes longer is none; also the time to connect in. */
const MOST_MS = 2000;
/** Between two looks whether it can be known by now. */
const PAUSE_MS = 100;
/** How long Redis knows that a name was given up: after that, who wants it has to wait for a lease. */
const FREE_MS = 7 * 24 * 3_600_000;

/**
 * The names that one instance owns, each for a lease that begins anew with every heartbeat.
 *
 * ```
 * asked      answered                                 in Redis
 *   |-----------|------------------------------------|
 *   |-- half a lease --| the owner is told            | others may have it
 * ```
 *
 * The owner counts from when it asked, Redis from when it answered: the owner is the first to know.
 */
export class Names {
  readonly #host: NamesHost;
  readonly #held = new Set<Held>();
  #isClosed = false;

  constructor(host: NamesHost) {
    this.#host = host;
  }

  /**
   * @returns `undefined` when somebody has it. When nobody does, and it is not known to be given up, its owner may live and only have lost
   * its lease with Redis: it settles after a whole one.
   * @throws {ShutdownError} `STORE_FAILED` when Redis cannot be asked.
   */
  async take(name: string, signal?: AbortSignal): Promise<StoreOwnership | undefined> {
    const { line, instanceId } = this.#host;
    const held = new Held(this.#host, name, `${instanceId} ${randomBytes(6).toString('hex')}`);
    let notBeyondMs = performance.now() + MOST_MS;
    while (!this.#isClosed && !signal?.aborted) {
      if (line.isUp) {
        const answer = await this.#ask(held);
        if (answer === OWNED) return this.#hold(held, signal);
        if (answer !== UNKNOWN) return undefined;
        notBeyondMs = performance.now() + MOST_MS;
      } else if (performance.now() > notBeyondMs) throw failure(`Redis was not there for ${MOST_MS} ms`);
      await sleep(PAUSE_MS);
    }
    return undefined;
  }

  /** Begins the lease of each anew. Never rejects. */
  async renew(): Promise<void> {
    await Promise.all([...this.#held].map((held) => held.renew()));
  }

  /** Gives up everything. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#held].map((held) => held.release()));
  }

  async #ask(held: Held): Promise<unknown> {
    const { mayJudge, beat } = this.#host;
    const answer = await held.take('');
    if (answer !== UNKNOWN || !mayJudge()) return answer;
    // If Redis has lost it, it has lost our own jobs as well.
    await beat();
    return mayJudge() ? held.take('1') : answer;
  }

  async #hold(held: Held, signal: AbortSignal | undefined): Promise<StoreOwnership | undefined> {
    this.#held.add(held);
    held.signal.addEventListener('abort', () => this.#held.delete(held), { once: true });
    if (!this.#isClosed && !signal?.aborted && !held.signal.aborted) return held;
    await held.release();
    return undefined;
  }
}

/** One of them. */
class Held implements StoreOwnership {
  readonly #host: NamesHost;
  readonly #name: string;
  readonly #token: string;
  readonly #over = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #releasing: Promise<void> | undefined;
  #deadMs: number | undefined;

  constructor(host: NamesHost, name: string, token: string) {
    this.#host = host;
    this.#name = name;
    this.#token = token;
  }

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  get deadMs(): number | undefined {
    return this.#deadMs;
  }

  /** @param judges `'1'`: what is not there belongs to nobody. @returns what `OWN_NAME` does. */
  async take(judges: string): Promise<unknown> {
    const { line, leaseMs, heartbeatMs } = this.#host;
    const askedMs = performance.now();
    let isLate = false;
    const watched: Pick<Line, 'eval'> = {
      eval: async (...call) => {
        const answer = await line.eval(...call);
        // Nobody waits for it any more.
        if (isLate && answer === OWNED) await this.release();
        return answer;
      },
    };
    try {
      const answer = await this.#ask(OWN_NAME, [leaseMs, judges], watched);
      // Its last heartbeat was a whole lease ago, and the next one would have come.
      if (judges === '1') this.#deadMs = leaseMs - heartbeatMs;
      if (answer === OWNED) this.#holdFrom(askedMs);
      return answer;
    } finally {
      isLate = true;
    }
  }

  async renew(): Promise<void> {
    if (this.signal.aborted) return;
    const askedMs = performance.now();
    // Without an answer it runs out by itself.
    const answer = await this.#ask(KEEP_NAME, [this.#host.leaseMs]).catch(() => undefined);
    if (this.signal.aborted) return;
    if (answer === OWNED) this.#holdFrom(askedMs);
    else if (answer !== undefined) this.#lose('another process has it');
  }

  release(): Promise<void> {
    this.#end();
    this.#releasing ??= this.#ask(RELEASE_NAME, [FREE_MS]).then(
      () => {},
      () => {},
    );
    return this.#releasing;
  }

  #holdFrom(askedMs: number): void {
    const { leaseMs } = this.#host;
    clearTimeout(this.#timer);
    const leftMs = askedMs + leaseMs / 2 - performance.now();
    const lose = () => this.#lose(`Redis has not confirmed it for ${leaseMs / 2} ms`);
    // The answer took so long.
    if (leftMs <= 0) {
      lose();
      return;
    }
    this.#timer = setTimeout(lose, leftMs);
    this.#timer.unref();
  }

  #lose(why: string): void {
    const text = `this process is no longer sure to be the owner of ${JSON.stringify(this.#name)}: ${why}`;
    this.#end(new ShutdownError('OWNERSHIP_LOST', text));
  }

  #end(reason?: ShutdownError): void {
    clearTimeout(this.#timer);
    this.#over.abort(reason);
  }

  #ask(
    script: string,
    args: readonly (string | number)[],
    line: Pick<Line, 'eval'> = this.#host.line,
  ): Promise<unknown> {
    const keys = [nameKey(this.#host.prefix, this.#name)];
    return ask(line, script, keys, [this.#token, ...args], { holds: true, limitMs: MOST_MS });
  }
}
