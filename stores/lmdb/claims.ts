import { partsOf } from '../../src/envelope.js';
import type { Orphan } from '../../src/store.js';
import type { Database } from './data-file.js';
import { instancesIn, isOwnerAlive, ownerOf, removeInstance } from './instances.js';
import { placeOf, rangeOf } from './keys.js';
import { readRecord } from './records.js';

/** So many orphans a claim: never tried before, tried once, tried more often. */
const PORTIONS = [4000, 50, 1] as const;
/** And so many characters, but for one that is larger: all of it is in memory at the same time. */
const PORTION_LENGTH = 16 * 2 ** 20;

/** The claims of one instance on what others left behind. */
export class Claims {
  readonly #instanceId: string;
  /** The places of jobs that we claimed and have not settled yet. */
  readonly #inHand = new Set<string>();

  constructor(instanceId: string) {
    this.#instanceId = instanceId;
  }

  /** The instances that are gone and claimed by nobody else. A look, which holds nobody else up. */
  free(database: Database): readonly string[] {
    return instancesIn(database).filter((id) => this.#isFree(database, id));
  }

  /** The next portion of what these left; empty when there is nothing any more. */
  claim(database: Database, instanceIds: readonly string[]): readonly Orphan[] {
    for (const instanceId of instanceIds) {
      const claimed = database.transactionSync(() => this.#claimFrom(database, instanceId));
      // Only now: what could not be committed is nobody's.
      for (const { place } of claimed) this.#inHand.add(place);
      if (claimed.length > 0) return claimed.map(({ orphan }) => orphan);
    }
    return [];
  }

  /** They are settled, one way or the other. */
  settle(envelopeIds: readonly string[]): void {
    for (const [instanceId, key] of envelopeIds.map(partsOf))
      this.#inHand.delete(placeOf('job', instanceId, key));
  }

  /** Others may have them; a try that was none is taken back. */
  giveBack(database: Database, envelopeIds: readonly string[], tried: boolean): void {
    database.transactionSync(() => {
      const jobs = envelopeIds.map(partsOf);
      if (!tried) for (const [instanceId, key] of jobs) untry(database, placeOf('tries', instanceId, key));
      for (const instanceId of new Set(jobs.map(([id]) => id))) {
        if (!this.#holdsAnyOf(instanceId)) this.#release(database, instanceId);
      }
    });
  }

  /** Gives back everything that is not settled. */
  releaseAll(database: Database): void {
    for (const place of this.#inHand) untry(database, `tries/${place.slice('job/'.length)}`);
    const instanceIds = new Set([...this.#inHand].map((place) => place.split('/')[1] as string));
    this.#inHand.clear();
    for (const instanceId of instanceIds) this.#release(database, instanceId);
  }

  #release(database: Database, instanceId: string): void {
    const place = `claim/${instanceId}`;
    if (database.get(place) === this.#instanceId) database.removeSync(place);
  }

  #isFree(database: Database, instanceId: string): boolean {
    if (instanceId === this.#instanceId || isOwnerAlive(database, instanceId)) return false;
    const claimer = database.get(`claim/${instanceId}`);
    return claimer === undefined || claimer === this.#instanceId || !isOwnerAlive(database, claimer);
  }

  #claimFrom(database: Database, instanceId: string): readonly Claimed[] {
    // Once more, now that nobody else can write.
    if (!this.#isFree(database, instanceId)) return [];
    const chosen = this.#choose(database, instanceId);
    if (chosen.length === 0) {
      if (!this.#holdsAnyOf(instanceId)) removeInstance(database, instanceId);
      return [];
    }
    database.putSync(`claim/${instanceId}`, this.#instanceId);
    const owner = ownerOf(database, instanceId)?.about ?? '';
    const claimed: Claimed[] = [];
    let length = 0;
    for (const { place, tries } of chosen) {
      const value = database.get(place) ?? '';
      length += value.length;
      if (claimed.length > 0 && length > PORTION_LENGTH) break;
      const { key, record } = readRecord(place, value);
      database.putSync(placeOf('tries', instanceId, key), String(tries));
      const progress = database.get(placeOf('progress', instanceId, key));
      claimed.push({ place, orphan: { instanceId, key, record, progress, owner, tries } });
    }
    return claimed;
  }

  /** Those that were never tried come first, many together; whatever killed its reporter before comes alone in the end. */
  #choose(database: Database, instanceId: string): Chosen[] {
    const tried = triesIn(database, instanceId);
    const groups: Chosen[][] = PORTIONS.map(() => []);
    for (const place of database.getKeys(rangeOf('job', instanceId))) {
      if (this.#inHand.has(place)) continue;
      const before = tried.get(place.slice('job/'.length)) ?? 0;
      const group = groups[Math.min(before, groups.length - 1)] as Chosen[];
      group.push({ place, tries: before + 1 });
      if (groups[0]?.length === PORTIONS[0]) break;
    }
    const index = groups.findIndex((group) => group.length > 0);
    return index < 0 ? [] : (groups[index] as Chosen[]).slice(0, PORTIONS[index]);
  }

  #holdsAnyOf(instanceId: string): boolean {
    const { start } = rangeOf('job', instanceId);
    return [...this.#inHand].some((place) => place.startsWith(start));
  }
}

interface Claimed {
  readonly place: string;
  readonly orphan: Orphan;
}

interface Chosen {
  readonly place: string;
  readonly tries: number;
}

function triesIn(database: Database, instanceId: string): ReadonlyMap<string, number> {
  const tries = new Map<string, number>();
  for (const { key, value } of database.getRange(rangeOf('tries', instanceId)))
    tries.set(key.slice('tries/'.length), Number(value));
  return tries;
}

function untry(database: Database, place: string): void {
  const tries = Number(database.get(place) ?? 0) - 1;
  if (tries > 0) database.putSync(place, String(tries));
  else database.removeSync(place);
}
