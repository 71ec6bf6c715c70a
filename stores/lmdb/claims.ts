import { createHash } from 'node:crypto';
import { partsOf } from '../../src/envelope.js';
import { messageOf } from '../../src/errors.js';
import type { ClaimOptions, Orphan } from '../../src/store.js';
import { writeAside } from './aside.js';
import type { Database } from './data-file.js';
import { instancesIn, isOwnerAlive, ownerOf, removeInstance, type Unreadable } from './instances.js';
import { isPlain, placeOf, rangeOf } from './keys.js';
import { transact } from './mending-locks.js';
import { readRecord } from './records.js';
import { triesIn, untry } from './tries.js';

/** So many orphans a claim: never tried before, tried once, tried more often. */
const PORTIONS = [4000, 50, 1] as const;
/** And so many characters, but for one that is larger: all of it is in memory at the same time. */
const PORTION_LENGTH = 16 * 2 ** 20;

/** What becomes of jobs that are given back. */
export interface GivenBack {
  /** `false`: the try is taken back. */
  readonly tried: boolean;
  /** They stay claimed by this process, which is not given them again. */
  readonly keep?: boolean;
}

/** The claims of one instance on what others left behind. */
export class Claims {
  readonly #instanceId: string;
  readonly #warn: (line: string) => void;
  /** By place: the jobs that we claimed and have not settled yet. */
  readonly #inHand = new Map<string, Held>();
  readonly #warned = new Set<string>();

  constructor(instanceId: string, warn: (line: string) => void) {
    this.#instanceId = instanceId;
    this.#warn = warn;
  }

  /** The instances that are gone and claimed by nobody else. A look, which holds nobody else up. */
  free(database: Database): readonly string[] {
    const ids = instancesIn(database, this.#unreadable);
    return ids.filter((id) => this.#try(id, () => this.#isFree(database, id)));
  }

  /** The next portion of what these left; empty when there is nothing any more. */
  claim(
    database: Database,
    instanceIds: readonly string[],
    { mostTries = Number.POSITIVE_INFINITY }: ClaimOptions = {},
  ): readonly Orphan[] {
    for (const id of instanceIds) {
      const claimed =
        this.#try(id, () => transact(database, () => this.#claimFrom(database, id, mostTries))) ?? [];
      // Only now: what could not be committed is nobody's.
      for (const { place, held } of claimed) this.#inHand.set(place, held);
      if (claimed.length > 0) return claimed.map(({ orphan }) => orphan);
    }
    return [];
  }

  /** Nobody needs to report them any more. */
  remove(database: Database, envelopeIds: readonly string[]): void {
    this.#settle(database, envelopeIds, () => {});
  }

  /** Keeps them for a person to look at. */
  setAside(database: Database, envelopeIds: readonly string[]): void {
    this.#settle(database, envelopeIds, ({ instanceId, key }, value) =>
      writeAside(database, instanceId, key, value),
    );
  }

  /** Others may have them, unless they are kept. */
  giveBack(database: Database, envelopeIds: readonly string[], { tried, keep = false }: GivenBack): void {
    const places = new Set(envelopeIds.map((id) => jobOf(id).place));
    transact(database, () => {
      if (!tried) for (const place of places) this.#untry(database, place);
      const instanceIds = keep ? [] : envelopeIds.map((id) => jobOf(id).instanceId);
      for (const id of new Set(instanceIds)) if (!this.#holdsAnyOf(id, places)) this.#release(database, id);
    });
    for (const place of places) {
      const held = this.#inHand.get(place);
      if (!keep) this.#inHand.delete(place);
      else if (held !== undefined && !tried) this.#inHand.set(place, { ...held, counts: false });
    }
  }

  /** They could not be given back: at least this process may claim them again. */
  forget(envelopeIds: readonly string[]): void {
    for (const id of envelopeIds) this.#inHand.delete(jobOf(id).place);
  }

  /** Gives back everything that is not settled. */
  releaseAll(database: Database): void {
    for (const place of this.#inHand.keys()) this.#untry(database, place);
    const instanceIds = new Set([...this.#inHand.keys()].map((place) => place.split('/')[1] as string));
    this.#inHand.clear();
    for (const instanceId of instanceIds) this.#release(database, instanceId);
  }

  /** Takes them out, but for what was put since under the same name: its owner was alive after all. */
  #settle(
    database: Database,
    envelopeIds: readonly string[],
    before: (job: Job, value: string) => void,
  ): void {
    const jobs = envelopeIds.map(jobOf);
    transact(database, () => {
      for (const job of jobs) {
        const value = database.get(job.place);
        const isLater = value !== undefined && this.#isLater(job.place, value);
        if (value !== undefined && !isLater) before(job, value);
        for (const kind of isLater ? (['tries'] as const) : (['job', 'progress', 'tries'] as const))
          database.removeSync(placeOf(kind, job.instanceId, job.key));
      }
    });
    this.forget(envelopeIds);
  }

  #isLater(place: string, value: string): boolean {
    const held = this.#inHand.get(place);
    return held !== undefined && held.digest !== digestOf(value);
  }

  #untry(database: Database, place: string): void {
    if (this.#inHand.get(place)?.counts) untry(database, `tries/${place.slice('job/'.length)}`);
  }

  #release(database: Database, instanceId: string): void {
    const place = `claim/${instanceId}`;
    if (database.get(place) === this.#instanceId) database.removeSync(place);
  }

  #isFree(database: Database, instanceId: string): boolean {
    if (instanceId === this.#instanceId || this.#isAlive(database, instanceId)) return false;
    const claimer = database.get(`claim/${instanceId}`);
    return claimer === undefined || claimer === this.#instanceId || !this.#isAlive(database, claimer);
  }

  #isAlive(database: Database, instanceId: string): boolean {
    return isOwnerAlive(database, instanceId, this.#unreadable);
  }

  #claimFrom(database: Database, instanceId: string, mostTries: number): readonly Claimed[] {
    // Once more, now that nobody else can write.
    if (!this.#isFree(database, instanceId)) return [];
    const { chosen, isLater } = this.#choose(database, instanceId, mostTries);
    if (chosen.length === 0) {
      if (!isLater && !this.#holdsAnyOf(instanceId)) removeInstance(database, instanceId);
      return [];
    }
    database.putSync(`claim/${instanceId}`, this.#instanceId);
    const owner = ownerOf(database, instanceId, this.#unreadable)?.about ?? '';
    const claimed: Claimed[] = [];
    let length = 0;
    for (const { place, tries } of chosen) {
      const value = database.get(place) ?? '';
      length += value.length;
      if (claimed.length > 0 && length > PORTION_LENGTH) break;
      const { key, record } = readRecord(place, value);
      database.putSync(placeOf('tries', instanceId, key), String(tries));
      const progress = database.get(placeOf('progress', instanceId, key));
      const orphan = { instanceId, key, record, progress, owner, tries };
      claimed.push({ place, orphan, held: { digest: digestOf(value), counts: true } });
    }
    return claimed;
  }

  /** Those that were never tried come first, many together; whatever killed its reporter before comes alone in the end. */
  #choose(
    database: Database,
    instanceId: string,
    mostTries: number,
  ): { readonly chosen: readonly Chosen[]; readonly isLater: boolean } {
    const tried = triesIn(database, instanceId, this.#unreadable);
    const groups: Chosen[][] = PORTIONS.map(() => []);
    const { start, end } = rangeOf('job', instanceId);
    let isLater = false;
    for (const place of database.getKeys({ start, end })) {
      if (this.#inHand.has(place)) continue;
      if (!isPlain(place.slice(start.length))) {
        this.#unreadable(place);
        continue;
      }
      const before = tried.get(place.slice('job/'.length)) ?? 0;
      if (before >= mostTries) {
        isLater = true;
        continue;
      }
      const group = groups[Math.min(before, groups.length - 1)] as Chosen[];
      group.push({ place, tries: before + 1 });
      if (groups[0]?.length === PORTIONS[0]) break;
    }
    const index = groups.findIndex((group) => group.length > 0);
    return { chosen: (groups[index] ?? []).slice(0, PORTIONS[index]), isLater };
  }

  /** @param except these places are on their way out */
  #holdsAnyOf(instanceId: string, except: ReadonlySet<string> = new Set()): boolean {
    const { start } = rangeOf('job', instanceId);
    return [...this.#inHand.keys()].some((place) => place.startsWith(start) && !except.has(place));
  }

  /** One instance that cannot be read must not keep the others from being reported. */
  #try<T>(instanceId: string, work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      // The file itself, or the disk.
      if ((error as { code?: unknown }).code !== undefined) throw error;
      this.#warnOnce(`the jobs of the instance ${instanceId} cannot be read and stay: ${messageOf(error)}`);
      return undefined;
    }
  }

  readonly #unreadable: Unreadable = (place) => {
    this.#warnOnce(`what is at ${JSON.stringify(place)} in the data cannot be read, and is passed over`);
  };

  #warnOnce(line: string): void {
    if (this.#warned.has(line)) return;
    this.#warned.add(line);
    this.#warn(line);
  }
}

interface Held {
  /** Of the record that was claimed. */
  readonly digest: string;
  /** Its try is written down, and not taken back. */
  readonly counts: boolean;
}

interface Job {
  readonly instanceId: string;
  readonly key: string;
  readonly place: string;
}

interface Claimed {
  readonly place: string;
  readonly orphan: Orphan;
  readonly held: Held;
}

interface Chosen {
  readonly place: string;
  readonly tries: number;
}

function jobOf(envelopeId: string): Job {
  const [instanceId, key] = partsOf(envelopeId);
  return { instanceId, key, place: placeOf('job', instanceId, key) };
}

function digestOf(value: string): string {
  return createHash('sha256').update(value).digest('base64');
}
