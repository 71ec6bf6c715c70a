// @ts-check
import { fileURLToPath } from 'node:url';
import { Child } from './child.js';
import { countEndings, faultsOf } from './endings.js';
import { FarEnd, OUTAGES } from './far-end.js';
import { Ledger } from './ledger.js';
import { planLife } from './plan.js';
import { Random } from './random.js';
import { Round } from './round.js';
import { STORES } from './stores.js';
import { Trial } from './trial.js';
import { WAYS } from './ways.js';

/** @typedef {import('./ways.js').StoreName} StoreName */
/** @typedef {import('./ways.js').Way} Way */

/**
 * What is asked of a cell.
 * @typedef {object} Order
 * @property {string} way
 * @property {StoreName} store
 * @property {number} trials
 * @property {string} seed
 * @property {number} parallel so many processes at the same time
 * @property {string} sabotage
 * @property {import('./memory-limit.js').MemoryLimit} memoryLimit
 */

/**
 * One way to die with one store, in numbers.
 * @typedef {import('./ledger.js').Sums & { way: string, store: StoreName, promised: boolean, trials: number, struck: number,
 *   strange: number, faults: readonly string[], endings: Record<string, number>, seconds: number, note: string }} CellResult
 */

const SURVIVOR = fileURLToPath(new URL('survivor.js', import.meta.url));
const BUDGET_MS = 3000;
/** The part of it that is kept for delivery: many start and die at the same time, and their notifiers are still being loaded. */
const RESERVE_SHARE = 0.6;
/** So many live at the same time when they are to die together. */
const TOGETHER = 20;
const MOST_FINDINGS = 5;

/** Data that nobody will report any more, or jobs that were held in memory only. */
const TROUBLE = / (put|set) aside|the job store \w+ failed/;

/** Lets processes die in one way, with one store between them, and adds up what became of their jobs. */
export class Cell {
  #order;
  #way;
  #kind;
  #random;
  #ledger;
  #farEnd;
  /** @type {import('./stores.js').OpenStore | undefined} */
  #store;
  /** @type {Child | undefined} */
  #survivor;
  /** How often the survivor had looked when its last report came. */
  #looksBefore = 0;
  /** @type {Set<string> | undefined} ids of the first report, when it is to be forgotten */
  #forgotten;
  /** @type {import('./endings.js').End[]} */
  #ends = [];
  /** @type {string[]} */
  #strange = [];
  /** @type {string[]} ends as there should be a few only */
  #rare = [];
  /** @type {string[]} what was said of data that nobody will report any more */
  #aside = [];

  /** @param {Order} order */
  constructor(order) {
    this.#order = order;
    this.#way = /** @type {Way} */ (WAYS[order.way]);
    this.#kind = STORES[order.store];
    this.#random = new Random(`${this.#seed}/rounds`);
    this.#ledger = new Ledger(this.#kind);
    this.#farEnd = new FarEnd((sender, envelopes) => this.#accept(sender, envelopes));
  }

  /** @returns {Promise<CellResult>} */
  async run() {
    const startedAt = performance.now();
    const { trials } = this.#order;
    const size = this.#way.together ? TOGETHER : this.#kind.roundSize;
    this.#store = await this.#kind.open();
    await this.#farEnd.open();
    for (let first = 0; first < trials; first += size) {
      await this.#round(first, Math.min(size, trials - first), Math.floor(first / size));
    }
    await this.#farEnd.close();
    const result = this.#result(Math.round((performance.now() - startedAt) / 1000));
    await this.#store.close(result.lost + result.wrong > 0);
    return result;
  }

  get #seed() {
    const { seed, way, store } = this.#order;
    return `${seed}/${way}/${store}`;
  }

  /** @param {number} first @param {number} size @param {number} index */
  async #round(first, size, index) {
    const { farEndDown } = this.#way;
    // In some rounds a survivor is there from the start. With the far end down it would only learn to wait.
    const early = this.#kind.durable && !farEndDown && index % 3 === 1;
    if (early) await this.#startSurvivor(index).told('l');
    if (farEndDown) await this.#farEnd.down(this.#random.pick(OUTAGES));
    const round = new Round(size, async () => this.#store?.restart?.());
    const numbers = Array.from({ length: size }, (_, number) => first + number);
    const width = this.#way.together ? size : this.#order.parallel;
    const lanes = Array.from({ length: width }, async () => {
      for (let number = numbers.shift(); number !== undefined; number = numbers.shift())
        await this.#trial(number, round);
    });
    await Promise.all(lanes);
    if (farEndDown) await this.#farEnd.up();
    if (this.#kind.durable) await this.#recover(this.#survivor ?? this.#startSurvivor(index));
  }

  /** @param {number} number @param {Round} round */
  async #trial(number, round) {
    const plan = planLife(`${this.#seed}/${number}`, this.#order.way);
    const trial = new Trial(`trial-${number}`, plan, {
      way: this.#way,
      env: this.#env(),
      farEnd: this.#farEnd,
      round,
      memoryLimit: this.#order.memoryLimit,
      onLine: (sender, line) => this.#ledger.note(sender, line),
      onEnvelope: (sender, envelope) => this.#accept(sender, [envelope]),
    });
    const end = await trial.run();
    this.#ends.push(end);
    this.#listen(`trial-${number}`, trial.words);
    const words = trial.words.slice(-8).join(' ⏎ ');
    const tell = (/** @type {string} */ what) => `trial ${number}, ${plan.moment}, ${what}: ${words}`;
    if (end.strange !== undefined) this.#strange.push(tell(end.strange));
    else if (this.#way.rarely?.includes(end.ending)) this.#rare.push(tell(`ended with ${end.ending}`));
  }

  /** Gives a survivor the time it needs, and ends it. @param {Child} survivor */
  async #recover(survivor) {
    this.#looksBefore = survivor.count('l');
    const isDone = () => this.#ledger.missing === 0 && survivor.count('l') > this.#looksBefore;
    await survivor.until(isDone, this.#kind.survivorLimitMs);
    this.#survivor = undefined;
    survivor.signal('SIGTERM');
    const overdue = setTimeout(() => survivor.signal('SIGKILL'), 10_000);
    const ending = await survivor.ended;
    clearTimeout(overdue);
    this.#listen('a survivor', survivor.words);
    if (ending !== 0) this.#strange.push(`a survivor ended with ${ending}: ${survivor.words.join(' ⏎ ')}`);
  }

  /** @param {string} who @param {readonly string[]} words */
  #listen(who, words) {
    for (const line of words) if (TROUBLE.test(line)) this.#aside.push(`${who} said: ${line}`);
  }

  /** @param {number} index */
  #startSurvivor(index) {
    const env = { ...this.#env(), SHUTDOWN_WEBHOOK_URL: this.#farEnd.urlFor(`survivor-${index}`) };
    this.#survivor = new Child([process.execPath, SURVIVOR], env);
    return this.#survivor;
  }

  #env() {
    const { sabotage } = this.#order;
    const budgetMs = this.#way.budgetMs ?? BUDGET_MS;
    return {
      PATH: process.env.PATH ?? '',
      SHUTDOWN_SERVICE: 'chaos',
      SHUTDOWN_BUDGET_MS: String(budgetMs),
      SHUTDOWN_RESERVE_MS: String(budgetMs * RESERVE_SHARE),
      SHUTDOWN_STORE: sabotage === 'store-off' ? 'memory' : (this.#store?.address ?? ''),
      CHAOS_SABOTAGE: sabotage,
    };
  }

  /** @param {string} sender @param {readonly any[]} envelopes */
  #accept(sender, envelopes) {
    if (this.#order.sabotage === 'lose-report') this.#forgotten ??= new Set(envelopes.map(({ id }) => id));
    for (const envelope of envelopes) {
      if (!this.#forgotten?.has(envelope.id)) this.#ledger.report(sender, envelope);
    }
    // Not done before it has looked once more: what it reports it has to mark as reported as well.
    this.#looksBefore = this.#survivor?.count('l') ?? 0;
    this.#survivor?.look();
  }

  /** @param {number} seconds @returns {CellResult} */
  #result(seconds) {
    const { way, store, trials, parallel, memoryLimit } = this.#order;
    const sums = this.#ledger.sums();
    const faults = faultsOf(this.#ends, { rarely: this.#way.rarely, parallel });
    const kept = sums.lost + sums.wrong > 0 && this.#store?.folder;
    return {
      ...{ way, store, promised: this.#way.promised.includes(store), trials },
      ...sums,
      findings: [
        ...sums.findings,
        ...faults,
        ...this.#rare.slice(0, MOST_FINDINGS),
        ...this.#strange.slice(0, MOST_FINDINGS),
        ...this.#aside.slice(0, MOST_FINDINGS),
        ...(kept ? [`its store is kept in ${kept}`] : []),
      ],
      struck: this.#ends.filter(({ struck }) => struck).length,
      strange: this.#strange.length,
      faults,
      endings: countEndings(this.#ends),
      seconds,
      note: this.#way.memoryLimited ? memoryLimit.name : '',
    };
  }
}
