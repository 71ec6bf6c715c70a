import { MAX_TIMER_MS, sleep } from '../src/clock.js';
import { checkBus, checkFlag, checkMs, refuse } from '../src/config/checks.js';
import { isShutdownError, messageOf, misspelt, type OptionNames, show } from '../src/errors.js';
import {
  defaultBus,
  type JobStore,
  type ShutdownBus,
  ShutdownError,
  type StoreOwnership,
} from '../src/index.js';
import { loggerOf } from '../src/logger.js';
import { ownCode } from '../src/own-code.js';
import { CHILD_DEFAULTS } from './options.js';

/** Options of {@link becomeOwner}. */
export interface OwnerOptions {
  /** `false`: not to wait while another process owns the name. @default true */
  readonly wait?: boolean;
  /** Ends the wait. */
  readonly signal?: AbortSignal;
  /**
   * Milliseconds for which children of an owner that was killed may go on before they are ended: it waits for so long after such a death. At
   * least their `timeoutMs` and a second; 0 when nothing outlives an owner, to take over at once. 0 to 2³¹−1.
   * @default 4000
   */
  readonly graceMs?: number;
  /** Whose store decides, and whose shutdown gives the name up. @default the default bus */
  readonly bus?: ShutdownBus;
}

/** A name that belongs to this process. Disposing it gives it up. */
export interface Ownership extends StoreOwnership, Disposable {
  readonly name: string;
}

/** The documented defaults that are plain values: {@link CHILD_DEFAULTS}' `timeoutMs`, and a second. */
export const OWNER_DEFAULTS = Object.freeze({ wait: true, graceMs: CHILD_DEFAULTS.timeoutMs + 1000 });

const NAMES: OptionNames<OwnerOptions> = { wait: true, signal: true, graceMs: true, bus: true };

/** After every handler, those that end children last of all included. */
const RELEASE_PRIORITY = -1000;
/** From one look to the next; the longer one after a look that failed, which may have blocked the event loop for a second. */
const LOOK_MS = { well: 1000, failed: 5000 } as const;

/**
 * Makes this process the one owner of a name, among all whose stores share a place, so that what there must be only one of is
 * started once: a scheduler, a daemon, a poller.
 *
 * ```
 * asks ──▶ free ───────────────────────▶ owner ──▶ release, shutdown ──▶ free
 *   ▲  ├─▶ its owner died ── graceMs ──▶ owner ──▶ death ──▶ its owner died
 *   └──┴─▶ another one's, 1 s
 * ```
 *
 * It waits until nobody else is the owner, with a look each second (one small transaction of LMDB, one script of Redis), and keeps the
 * process alive meanwhile; which of several that wait is next is anybody's guess. The shutdown gives the name up after every handler, when
 * children have ended. A killed owner is noticed at the next look with `lmdbStore` (10 s from another container), and after `leaseMs` with
 * `redisStore`.
 *
 * Whoever owns something listens to `signal`: when it aborts, what the name stands for must end, within half of `leaseMs` with
 * `redisStore`. Release it after that as well.
 * @returns `undefined` when it is not to be: the shutdown has begun, `signal` is aborted, or with `wait: false` another process is the
 * owner, or this one already.
 * @throws {ShutdownError} `INVALID_OPTION` for a bus without a store that can decide; `BUS_DISPOSED`; with `wait: false` what the store
 * throws. Otherwise that is logged, and tried again.
 * @example
 * ```ts
 * const ownership = await becomeOwner('scheduler');
 * if (ownership) {
 *   const child = spawnChild('node', ['scheduler.js']);
 *   ownership.signal.addEventListener('abort', () => child.stop());
 * }
 * ```
 */
export async function becomeOwner(name: string, options: OwnerOptions = {}): Promise<Ownership | undefined> {
  check(name, options);
  const { wait = OWNER_DEFAULTS.wait, graceMs = OWNER_DEFAULTS.graceMs } = options;
  const { signal, bus = defaultBus() } = options;
  const candidate = new Candidate(name, { bus, store: storeOf(bus), wait, graceMs });
  const stopping = new AbortController();
  const stop = ownCode(() => stopping.abort());
  bus.on('stopping', stop);
  // What a store waits for may not keep the process alive by itself.
  const hold = setInterval(() => {}, MAX_TIMER_MS);
  try {
    return await candidate.run(AbortSignal.any([stopping.signal, ...(signal ? [signal] : [])]));
  } finally {
    clearInterval(hold);
    bus.off('stopping', stop);
  }
}

type OwningStore = JobStore & Required<Pick<JobStore, 'own'>>;

interface Settings {
  readonly bus: ShutdownBus;
  readonly store: OwningStore;
  readonly wait: boolean;
  readonly graceMs: number;
}

/** One call of {@link becomeOwner}. */
class Candidate {
  readonly #name: string;
  readonly #bus: ShutdownBus;
  readonly #store: OwningStore;
  readonly #wait: boolean;
  readonly #graceMs: number;
  #trouble: string | undefined;

  constructor(name: string, { bus, store, wait, graceMs }: Settings) {
    this.#name = name;
    this.#bus = bus;
    this.#store = store;
    this.#wait = wait;
    this.#graceMs = graceMs;
  }

  async run(over: AbortSignal): Promise<Ownership | undefined> {
    while (!over.aborted && this.#bus.state === 'running') {
      const answer = await this.#try(over);
      if (typeof answer === 'object') return answer;
      if (!this.#wait) return undefined;
      await sleep(this.#bus.config.clock, LOOK_MS[answer], over);
    }
    return undefined;
  }

  /** @returns how the look went, when it is not the owner. */
  async #try(over: AbortSignal): Promise<Ownership | keyof typeof LOOK_MS> {
    let held: StoreOwnership | undefined;
    // Before the name is taken: a bus that is disposed would never give it up.
    const undo = this.#bus.subscribeShutdown(
      ownCode(() => held?.release()),
      { name: `give up ${this.#name}`, priority: RELEASE_PRIORITY, essential: true },
    );
    try {
      held = await this.#store.own(this.#name, over);
      this.#trouble = undefined;
      if (held !== undefined && (await this.#isOver(held, over))) return this.#hold(held, undo);
      await held?.release();
      undo();
      return 'well';
    } catch (error) {
      undo();
      if (!this.#wait) throw error;
      this.#tell(messageOf(error));
      return 'failed';
    }
  }

  /** Waits until nothing of a dead owner is left. @returns whether the name is still this process's own then. */
  async #isOver({ deadMs = this.#graceMs, signal }: StoreOwnership, over: AbortSignal): Promise<boolean> {
    const ended = AbortSignal.any([signal, over]);
    await sleep(this.#bus.config.clock, this.#graceMs - deadMs, ended);
    return !ended.aborted;
  }

  #hold(held: StoreOwnership, undo: () => void): Ownership {
    const name = this.#name;
    const log = loggerOf(this.#bus);
    log.info(`this process owns ${show(name)}`);
    held.signal.addEventListener(
      'abort',
      () => {
        const { reason } = held.signal;
        if (isShutdownError(reason, 'OWNERSHIP_LOST')) log.error(reason.message);
        else log.info(`this process gives up ${show(name)}`);
      },
      { once: true },
    );
    const release = () => {
      undo();
      return held.release();
    };
    return { name, signal: held.signal, release, [Symbol.dispose]: () => void release() };
  }

  /** Once for each kind of it. */
  #tell(trouble: string): void {
    const line = `who owns ${show(this.#name)} cannot be known now, to be tried again: ${trouble}`;
    if (trouble !== this.#trouble) loggerOf(this.#bus).warn(line);
    this.#trouble = trouble;
  }
}

/** @throws {ShutdownError} `INVALID_OPTION`, listing everything that is wrong. */
function check(name: string, options: OwnerOptions): void {
  const { wait, signal, graceMs, bus } = options;
  refuse('becomeOwner', [
    typeof name === 'string' && name !== '' ? undefined : `the name is ${show(name)}, allowed: a text`,
    misspelt(options, NAMES),
    checkFlag('wait', wait),
    signal === undefined || signal instanceof AbortSignal
      ? undefined
      : `signal is ${show(signal)}, allowed: an AbortSignal`,
    checkMs('graceMs', graceMs),
    checkBus(bus),
  ]);
}

/** @throws {ShutdownError} `INVALID_OPTION`: each of several processes would be the owner. */
function storeOf({ config: { store } }: ShutdownBus): OwningStore {
  if (store?.own !== undefined) return store as OwningStore;
  const why = store ? `its store ${store.name} makes nobody an owner` : 'this one has none';
  throw new ShutdownError(
    'INVALID_OPTION',
    `becomeOwner: the processes need a store in common that decides, and ${why}; set SHUTDOWN_STORE=lmdb:<folder> or redis://…, ` +
      'or for a service of one process the option store: memoryStore()',
  );
}
