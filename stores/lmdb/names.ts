import { randomBytes } from 'node:crypto';
import { messageOf, ShutdownError } from '../../src/errors.js';
import type { StoreOwnership } from '../../src/store.js';
import type { Database } from './data-file.js';
import { isOwnerAlive } from './instances.js';
import { namePlace } from './keys.js';
import { LONGEST_SILENCE_MS } from './life.js';
import { transact } from './mending-locks.js';

/** In the place of an instance. */
const DIED = 'died';
/** Nothing that an owner had started takes so long to end. */
const FORGOTTEN_MS = 24 * 3_600_000;
/** After so long without a heartbeat that could be written, another container may soon take this process for dead. */
const SURE_MS = LONGEST_SILENCE_MS / 2;

/** What it needs to know of its store. */
export interface NamesHost {
  readonly instanceId: string;
  /** Writes a heartbeat; throws what keeps it from being written. */
  beat(): void;
  /** Takes a name out, if that is its value, or puts another value there. */
  release(place: string, value: string, next: string | undefined): void;
}

/**
 * The names that one instance owns. Its heartbeat, in the same transaction, looks whether they are still its own.
 *
 * ```
 * name/<name> ──▶ "<instance> <token>", valid as long as owner/<instance> tells of a living process
 *                 "died <milliseconds since 1970>", nobody's: what that owner had started may still be ending
 * ```
 */
export class Names {
  readonly #host: NamesHost;
  readonly #held = new Map<string, Held>();
  #timer: NodeJS.Timeout | undefined;

  constructor(host: NamesHost) {
    this.#host = host;
  }

  /** In one transaction with `beat`, which tells others that this process lives. @returns `undefined` when somebody has it. */
  take(database: Database, name: string, beat: () => void): StoreOwnership | undefined {
    const { instanceId } = this.#host;
    const place = namePlace(name);
    if (this.#held.has(place)) return undefined;
    const value = `${instanceId} ${randomBytes(6).toString('hex')}`;
    const before = transact(database, () => {
      const [holder, since] = database.get(place)?.split(' ') ?? [];
      // One of ours that is not held could not be released.
      const isFree = holder === undefined || holder === instanceId;
      if (!isFree && isOwnerAlive(database, holder, () => {})) return 'alive';
      beat();
      database.putSync(place, value);
      if (isFree) return undefined;
      return holder === DIED ? Number(since) : Date.now();
    });
    if (before === 'alive') return undefined;
    const held = new Held({ name, value, diedAt: before, release: () => this.#release(place, held) });
    this.#held.set(place, held);
    this.#beSure();
    return held;
  }

  /** Beats, and looks after what is held. */
  beat(database: Database, beat: () => void): void {
    const lost = transact(database, () => {
      beat();
      return [...this.#held].filter(([place, held]) => !this.#isOurs(database, place, held));
    });
    for (const [place, held] of lost) {
      this.#held.delete(place);
      held.lose('another process took this one for dead');
    }
    this.#beSure();
  }

  /** The data is another one, and empty. */
  putAgain(database: Database): void {
    for (const [place, held] of this.#held) this.#isOurs(database, place, held);
  }

  /** Gives up everything. */
  releaseAll(database: Database): void {
    const all = [...this.#held];
    this.end();
    transact(database, () => {
      for (const [place, { value, legacy }] of all) giveUpName(database, place, value, legacy);
    });
  }

  /** Owns nothing any more, whatever the database says. */
  end(): void {
    clearTimeout(this.#timer);
    for (const held of this.#held.values()) held.end();
    this.#held.clear();
  }

  /** What nobody has, in new data, is still ours; but not once it was lost. */
  #isOurs(database: Database, place: string, { value, signal }: Held): boolean {
    const present = database.get(place);
    if (present === undefined && !signal.aborted) database.putSync(place, value);
    return present === undefined || present === value;
  }

  async #release(place: string, held: Held): Promise<void> {
    if (this.#held.get(place) !== held) return;
    this.#held.delete(place);
    this.#beSure();
    try {
      this.#host.release(place, held.value, held.legacy);
    } catch {
      // It is free when this process takes it again, or ends.
    }
  }

  /** From now on, for a while. A blocked event loop is no reason to give up: then there is a heartbeat first. */
  #beSure(): void {
    clearTimeout(this.#timer);
    if (this.#held.size === 0) return;
    this.#timer = setTimeout(() => this.#doubt(), SURE_MS);
    this.#timer.unref();
  }

  #doubt(): void {
    try {
      this.#host.beat();
    } catch (error) {
      // They stay taken until they are released: what they stand for may go on.
      for (const held of this.#held.values()) held.lose(messageOf(error));
    }
  }
}

/** In a transaction: takes a name out that has this value, or puts `next` there. */
export function giveUpName(database: Database, place: string, value: string, next: string | undefined): void {
  if (database.get(place) !== value) return;
  if (next === undefined) database.removeSync(place);
  else database.putSync(place, next);
}

interface HeldParts {
  readonly name: string;
  readonly value: string;
  /** When the owner before was found dead, in milliseconds since 1970. */
  readonly diedAt: number | undefined;
  readonly release: () => Promise<void>;
}

/** One of them. */
class Held implements StoreOwnership {
  readonly value: string;
  readonly deadMs: number | undefined;
  readonly #parts: HeldParts;
  readonly #over = new AbortController();

  constructor(parts: HeldParts) {
    this.value = parts.value;
    this.deadMs = parts.diedAt === undefined ? undefined : Math.max(0, Date.now() - parts.diedAt);
    this.#parts = parts;
  }

  /** What stays of it when it is given up: whoever is next may have to wait for the end of what a dead owner had started, too. */
  get legacy(): string | undefined {
    const { diedAt } = this.#parts;
    return diedAt === undefined || Date.now() - diedAt > FORGOTTEN_MS ? undefined : `${DIED} ${diedAt}`;
  }

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  release(): Promise<void> {
    this.end();
    return this.#parts.release();
  }

  end(): void {
    this.#over.abort();
  }

  lose(why: string): void {
    const text = `this process is no longer sure to be the owner of ${JSON.stringify(this.#parts.name)}: ${why}`;
    this.#over.abort(new ShutdownError('OWNERSHIP_LOST', text));
  }
}
