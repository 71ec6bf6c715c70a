import { envelopeIdOf, partsOf } from '../../src/envelope.js';
import { messageOf } from '../../src/errors.js';
import type { ClaimOptions, Orphan } from '../../src/store.js';
import { Hand } from './hand.js';
import { fieldsOf, indexKey, keysOf } from './keys.js';
import { ask, type Line } from './line.js';
import { CLAIM, EXPIRE, IS_BACK, RENEW, SETTLE, SUSPECT, UNLIST } from './scripts.js';
import { Search } from './search.js';

/** What it needs to know of its store. */
export interface ClaimsHost {
  readonly line: Line;
  readonly instanceId: string;
  readonly prefix: string;
  readonly leaseMs: number;
  /** Whether a lease that is over is a sign of death. */
  mayJudge(): boolean;
  /** Something its operator should know. */
  warn(line: string): void;
}

/** What becomes of jobs that were claimed: all but those that are kept leave our hand. */
export type Fate = 'delivered' | 'aside' | 'untried' | 'tried' | 'kept';

/** So many orphans a claim: never tried before, tried once, tried more often. */
const PORTIONS = [2000, 50, 1] as const;
const PORTION_BYTES = 4 * 1024 * 1024;
/** Nobody counts so far. */
const MOST_TRIES = 1000;
const MOST_SETTLED = 1000;
/** A shutdown waits for what is under way. */
const MOST_MS = 2000;
/** After so long a look asks nobody else. */
const LOOK_MS = 1000;

/** Of `CLAIM`. */
type Answer = readonly [
  what: string,
  strange: number,
  epoch?: string,
  owner?: string,
  ...jobs: (string | number | null)[],
];

interface Settlement {
  readonly instanceId: string;
  /** Of the hand they were in. */
  readonly epoch: string;
  readonly fields: readonly string[];
  readonly fate: Fate;
}

/** The claims of one instance on what others left behind. */
export class Claims {
  readonly #host: ClaimsHost;
  readonly #hands = new Map<string, Hand>();
  /** What Redis does not know yet. */
  #unsettled: Settlement[] = [];
  #settling: Promise<void> = Promise.resolve();
  readonly #search: Search;
  readonly #warned = new Set<string>();
  /** Known to be dead, and not yet known to have left nothing more. */
  readonly #dead = new Set<string>();

  constructor(host: ClaimsHost) {
    this.#host = host;
    this.#search = new Search(host.prefix, (...question) => this.#ask(...question));
  }

  /** The next portion of what others left; empty when there is nothing, nobody may be judged, or too many were asked in vain. */
  async claim({ mostTries = MOST_TRIES }: ClaimOptions = {}): Promise<readonly Orphan[]> {
    await this.flush();
    for (const dead of this.#dead) {
      const orphans = await this.#claimFrom(dead, mostTries);
      if (orphans.length > 0) return orphans;
      this.#dead.delete(dead);
    }
    if (!this.#host.mayJudge()) return [];
    const { instanceId } = this.#host;
    const endsAt = performance.now() + LOOK_MS;
    const isWanted = (id: string) => id !== instanceId && this.#hands.get(id)?.isAll !== true;
    for (const id of await this.#search.look(isWanted)) {
      const orphans = await this.#claimFrom(id, mostTries);
      if (orphans.length > 0) return orphans;
      if (!this.#host.mayJudge() || performance.now() > endsAt) return [];
    }
    this.#search.goOn();
    return [];
  }

  /** Ends the lease of one that is dead: nobody need judge that. */
  async expire(instanceId: string): Promise<void> {
    const { prefix } = this.#host;
    this.#dead.add(instanceId);
    await this.#ask(EXPIRE, keysOf(prefix, instanceId), []);
    await this.#ask(SUSPECT, [indexKey(prefix)], [instanceId]);
  }

  /** Decides on what was claimed. Resolves when Redis knows, or cannot be told now: then it will be told later. */
  async settle(envelopeIds: readonly string[], fate: Fate): Promise<void> {
    for (const [instanceId, keys] of byInstance(envelopeIds)) {
      const hand = this.#hands.get(instanceId);
      if (hand === undefined) continue;
      const held = keys.flatMap(fieldsOf).filter((field) => hand.fields.has(field));
      this.#decide(instanceId, hand, held, fate);
    }
    await this.flush();
  }

  /** Goes on holding what is in our hand. */
  async renew(): Promise<void> {
    await this.flush();
    await Promise.all([...this.#hands].map(([instanceId, hand]) => this.#renew(instanceId, hand)));
  }

  /** Gives everything back. */
  async releaseAll(): Promise<void> {
    await this.flush();
    for (const [instanceId, hand] of this.#hands) this.#decide(instanceId, hand, [...hand.fields], 'untried');
    await this.flush();
  }

  /** Tells Redis what it does not know yet. Never rejects. */
  flush(): Promise<void> {
    this.#settling = this.#settling.then(() => this.#flush());
    return this.#settling;
  }

  #decide(instanceId: string, hand: Hand, fields: readonly string[], fate: Fate): void {
    const { tried, untried } = hand.byTry(fields);
    const isTakenBack = fate === 'kept' || fate === 'untried';
    // A try is taken back once.
    this.#note(instanceId, hand, isTakenBack ? tried : fields, fate);
    if (fate === 'kept') hand.takeBack(tried);
    if (fate === 'untried') this.#note(instanceId, hand, untried, 'tried');
  }

  #note(instanceId: string, { epoch }: Hand, fields: readonly string[], fate: Fate): void {
    for (let at = 0; at < fields.length; at += MOST_SETTLED)
      this.#unsettled.push({ instanceId, epoch, fields: fields.slice(at, at + MOST_SETTLED), fate });
  }

  async #claimFrom(instanceId: string, mostTries: number): Promise<readonly Orphan[]> {
    const { instanceId: claimer, leaseMs, line, prefix } = this.#host;
    const { epoch = '', fields = [] } = this.#hands.get(instanceId) ?? {};
    const args = [
      claimer,
      leaseMs,
      epoch,
      JSON.stringify([...fields]),
      PORTION_BYTES,
      ...PORTIONS,
      mostTries,
    ];
    let isLate = false;
    const watched: Pick<Line, 'eval'> = {
      eval: async (...call) => {
        const answer = (await line.eval(...call)) as Answer;
        // Nobody waits for them any more.
        if (isLate) await this.settle(this.#take(instanceId, answer).map(idOf), 'untried');
        return answer;
      },
    };
    try {
      const patience = { holds: true, limitMs: MOST_MS };
      const answer = (await ask(watched, CLAIM, keysOf(prefix, instanceId), args, patience)) as Answer;
      if (answer[0] === 'gone') await this.#unlist(instanceId);
      return this.#take(instanceId, answer);
    } catch (error) {
      if (!isBadData(error)) throw error;
      this.#search.refused(instanceId, 'unreadable');
      this.#warnOnce(instanceId, `the jobs of instance ${instanceId} are not reported`, error);
      return [];
    } finally {
      isLate = true;
    }
  }

  #take(instanceId: string, [what, strange, epoch = '', owner = '', ...jobs]: Answer): Orphan[] {
    const { prefix, warn } = this.#host;
    if (strange > 0)
      warn(
        `${strange} jobs of instance ${instanceId} are not reported, but set aside in ${prefix}:{${instanceId}}:aside: ` +
          'their keys are no UTF-8, so none of us wrote them',
      );
    const hand = this.#hands.get(instanceId);
    if (what === 'in hand' && hand !== undefined) hand.isAll = true;
    if (what !== 'orphans') {
      this.#search.refused(instanceId, what === 'taken' || what === 'later' ? 'taken' : 'not now');
      return [];
    }
    const held = hand?.epoch === epoch ? hand : new Hand(epoch);
    this.#hands.set(instanceId, held);
    return held.take(jobs).map((job) => ({ ...job, instanceId, owner }));
  }

  async #renew(instanceId: string, hand: Hand): Promise<void> {
    const { instanceId: claimer, leaseMs, prefix } = this.#host;
    const keys = keysOf(prefix, instanceId);
    const isOurs = await this.#ask(RENEW, keys, [claimer, leaseMs, hand.epoch]).catch(() => 1);
    if (isOurs === 0 && this.#hands.get(instanceId) === hand) this.#hands.delete(instanceId);
  }

  async #flush(): Promise<void> {
    for (
      let next = this.#unsettled[0];
      next !== undefined && this.#host.line.isUp;
      next = this.#unsettled[0]
    ) {
      try {
        await this.#tell(next);
      } catch (error) {
        if (!isBadData(error)) return;
        // They stay in our hand: whatever cannot be removed must not be claimed again and again.
        const { instanceId } = next;
        this.#warnOnce(instanceId, `what became of jobs of instance ${instanceId} is not written`, error);
      }
      this.#unsettled = this.#unsettled.slice(1);
    }
  }

  async #tell({ instanceId, epoch, fields, fate }: Settlement): Promise<void> {
    const hand = this.#hands.get(instanceId);
    // Lost in the meantime: to another claimer, or to its owner, whose next copy may be in our hand by now.
    if (hand?.epoch !== epoch) return;
    const { instanceId: claimer, prefix } = this.#host;
    const isLast = fate !== 'kept' && fields.length === hand.fields.size ? '1' : '';
    const keys = keysOf(prefix, instanceId);
    const left = await this.#ask(SETTLE, keys, [claimer, epoch, fate, isLast, ...fields]);
    if (fate !== 'kept') hand.letGo(fields);
    if (hand.fields.size === 0) this.#hands.delete(instanceId);
    if (left === 2) await this.#unlist(instanceId);
  }

  /** It is gone; unless it came back in this moment. */
  async #unlist(instanceId: string): Promise<void> {
    const { prefix } = this.#host;
    const index = [indexKey(prefix)];
    await this.#ask(UNLIST, index, [instanceId]);
    const isBack = await this.#ask(IS_BACK, keysOf(prefix, instanceId), []);
    if (isBack === 1) await this.#ask(SUSPECT, index, [instanceId]);
  }

  #warnOnce(instanceId: string, what: string, error: unknown): void {
    if (this.#warned.has(what)) return;
    this.#warned.add(what);
    this.#host.warn(
      `${what}: ${messageOf(error)}; somebody else wrote to keys with {${instanceId}} in their names: mend or delete them`,
    );
  }

  #ask(script: string, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    return ask(this.#host.line, script, keys, args, { holds: true, limitMs: MOST_MS });
  }
}

/** What is in Redis is not what we write: no second try helps. */
function isBadData(error: unknown): boolean {
  return /WRONGTYPE|not an integer/.test(messageOf(error));
}

function idOf({ instanceId, key }: Orphan): string {
  return envelopeIdOf(instanceId, key);
}

function byInstance(envelopeIds: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, string[]>();
  for (const [instanceId, key] of envelopeIds.map(partsOf)) {
    const group = groups.get(instanceId) ?? [];
    group.push(key);
    groups.set(instanceId, group);
  }
  return groups;
}
