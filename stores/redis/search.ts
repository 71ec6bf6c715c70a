import { indexKey } from './keys.js';
import { LOOK } from './scripts.js';

/** Asks Redis. */
type Ask = (script: string, keys: readonly string[], args: readonly (string | number)[]) => Promise<unknown>;

/** Instances of the index a page. */
const PAGE = 1000;
/** Instances a look. */
const MOST_ASKED = 50;
/** Whoever has just claimed an instance keeps it for a moment. */
const TAKEN_MS = 1000;
/** What cannot be read may be mended by somebody. */
const UNREADABLE_MS = 60_000;
/** So many are known to have been asked. */
const MOST_KNOWN = 10_000;

/** Why an instance had nothing for us. */
export type Refusal = 'not now' | 'taken' | 'unreadable';

const PAUSE_MS: Readonly<Record<Refusal, number>> = {
  'not now': 0,
  taken: TAKEN_MS,
  unreadable: UNREADABLE_MS,
};

/**
 * Whom of those whose lease is over to ask for their jobs: some in each look, so that in the end everybody's turn comes, however
 * many others there are that somebody else has claimed.
 *
 * ```
 * a page of the index ──▶ those never asked, from anywhere on ──▶ those asked before, the longest ago first
 *         └── all were asked ──▶ the next page
 * ```
 */
export class Search {
  readonly #ask: Ask;
  readonly #index: readonly string[];
  /** Of the page. */
  #offset = 0;
  #nextOffset = 0;
  /** Everybody on the page was asked. */
  #isDone = false;
  /** Not before when to ask again, by instance. Whoever was asked last is last. */
  readonly #asked = new Map<string, number>();

  constructor(prefix: string, ask: Ask) {
    this.#index = [indexKey(prefix)];
    this.#ask = ask;
  }

  /** Whom to ask now. */
  async look(isWanted: (instanceId: string) => boolean): Promise<readonly string[]> {
    const page = (await this.#ask(LOOK, this.#index, [this.#offset, PAGE])) as string[];
    const [first, again] = this.#sort(page.filter(isWanted));
    this.#isDone = first.length <= MOST_ASKED;
    this.#nextOffset = page.length < PAGE ? 0 : this.#offset + PAGE;
    return [...first, ...again].slice(0, MOST_ASKED);
  }

  /** It has nothing for us. */
  refused(instanceId: string, why: Refusal): void {
    this.#asked.delete(instanceId);
    this.#asked.set(instanceId, performance.now() + PAUSE_MS[why]);
    const [oldest] = this.#asked.keys();
    if (this.#asked.size > MOST_KNOWN) this.#asked.delete(oldest as string);
  }

  /** Of all that were to be asked nobody had anything: the next look goes on behind them. */
  goOn(): void {
    if (this.#isDone) this.#offset = this.#nextOffset;
  }

  #sort(instanceIds: readonly string[]): readonly [first: readonly string[], again: readonly string[]] {
    const nowMs = performance.now();
    const there = new Set(instanceIds);
    const again = [...this.#asked].filter(([id, notBeforeMs]) => there.has(id) && notBeforeMs <= nowMs);
    const first = instanceIds.filter((id) => !this.#asked.has(id));
    return [startAnywhere(first), again.map(([id]) => id)];
  }
}

/** So that survivors do not all try the same one first. */
function startAnywhere<T>(list: readonly T[]): readonly T[] {
  const at = Math.floor(Math.random() * list.length);
  return [...list.slice(at), ...list.slice(0, at)];
}
