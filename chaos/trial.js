// @ts-check
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Child } from './child.js';
import { Random } from './random.js';

/** @typedef {import('./child.js').Ending} Ending */
/** @typedef {import('./endings.js').End} End */
/** @typedef {import('./plan.js').Plan} Plan */
/** @typedef {import('./ways.js').Victim} Victim */
/** @typedef {import('./ways.js').Way} Way */

/**
 * What a process needs from its cell.
 * @typedef {object} Surroundings
 * @property {Way} way
 * @property {Record<string, string>} env
 * @property {import('./far-end.js').FarEnd} farEnd
 * @property {import('./round.js').Round} round
 * @property {import('./memory-limit.js').MemoryLimit} memoryLimit
 * @property {(sender: string, line: string) => void} onLine
 * @property {(sender: string, envelope: any) => void} onEnvelope
 */

const SERVICE = fileURLToPath(new URL('service.js', import.meta.url));
/** Longer than anything here takes, on the slowest machine. */
const MOST_LIFE_MS = 60_000;

/**
 * One process, from its start to its end.
 * @implements {Victim}
 */
export class Trial {
  random;
  /** @type {readonly string[]} */
  words = [];
  #name;
  #plan;
  #surroundings;
  #instanceId = '';
  #arrived = false;
  /** @type {Child | undefined} */
  #child;

  /** @param {string} name @param {Plan} plan @param {Surroundings} surroundings */
  constructor(name, plan, surroundings) {
    this.#name = name;
    this.#plan = plan;
    this.#surroundings = surroundings;
    this.random = new Random(`${plan.seed}/outside`);
  }

  /** Lets it live and die. @returns {Promise<End>} */
  async run() {
    const { way, memoryLimit } = this.#surroundings;
    const node = [process.execPath, ...(way.execArgv ?? []), SERVICE];
    const limited = way.memoryLimited ? memoryLimit.around(node) : undefined;
    const child = this.#start(limited?.command ?? node);
    let overdue = false;
    const limit = setTimeout(() => {
      overdue = true;
      child.signal('SIGKILL');
    }, MOST_LIFE_MS);
    const [ending, fell = true] = await Promise.all([child.ended, way.outside?.(this)]);
    clearTimeout(limit);
    this.#arrive();
    const wasReached = limited?.wasReached() ?? true;
    await limited?.release();
    return {
      ending,
      struck: fell && wasReached && this.#isMeant(ending),
      strange: overdue ? `was still there after ${MOST_LIFE_MS} ms` : this.#strangeness(ending),
    };
  }

  async moment() {
    const { moment, after, pauseMs } = this.#plan;
    const child = /** @type {Child} */ (this.#child);
    const come = {
      starting: async () => true,
      ready: () => child.told('r'),
      begins: () => child.told('b', after),
      idle: () => child.told('i'),
    };
    const has = await come[moment]();
    if (has && pauseMs > 0) await sleep(pauseMs);
    return has;
  }

  /** @param {NodeJS.Signals} signal */
  signal(signal) {
    this.#child?.signal(signal);
  }

  /** @param {string} text */
  said(text) {
    return /** @type {Child} */ (this.#child).said(text);
  }

  /** @param {string} fact */
  told(fact) {
    const child = /** @type {Child} */ (this.#child);
    return child.told(fact, child.count(fact) + 1);
  }

  async delivering() {
    const child = /** @type {Child} */ (this.#child);
    let held = false;
    const isOwn = (/** @type {any[]} */ envelopes) =>
      envelopes.some(({ data }) => data.instanceId === this.#instanceId);
    this.#surroundings.farEnd.hold(this.#name, isOwn).then(() => {
      held = true;
      child.look();
    });
    return child.until(() => held);
  }

  async together() {
    this.#arrive();
    await this.#surroundings.round.met();
  }

  restartStore() {
    return this.#surroundings.round.restartStore();
  }

  #arrive() {
    if (this.#arrived) return;
    this.#arrived = true;
    this.#surroundings.round.arrive();
  }

  /** @param {readonly string[]} command */
  #start(command) {
    const { env, farEnd, onLine, onEnvelope } = this.#surroundings;
    const variables = {
      ...env,
      SHUTDOWN_WEBHOOK_URL: farEnd.urlFor(this.#name),
      CHAOS_PLAN: JSON.stringify(this.#plan),
    };
    const child = new Child(command, variables, {
      onLine: (line) => {
        if (line.startsWith('r ')) this.#instanceId = line.slice(2);
        onLine(this.#name, line);
      },
      onEnvelope: (envelope) => onEnvelope(this.#name, envelope),
    });
    this.words = child.words;
    this.#child = child;
    return child;
  }

  get #endings() {
    const { way, memoryLimit } = this.#surroundings;
    return way.memoryLimited ? memoryLimit.endings : way.endings;
  }

  /** Whether the blow ends a process like that. @param {Ending} ending */
  #isMeant(ending) {
    return this.#instanceId !== '' && (this.#surroundings.way.meant ?? this.#endings).includes(ending);
  }

  /** @param {Ending} ending */
  #strangeness(ending) {
    // Before its bus was there, a signal ends a process as it ends any other.
    if (this.#instanceId === '')
      return typeof ending === 'string' ? undefined : `ended with ${ending} before it had a bus`;
    const expected = [...this.#endings, ...(this.#surroundings.way.rarely ?? [])];
    return expected.includes(ending) ? undefined : `ended with ${ending}`;
  }
}
