import type {
  ClaimOptions,
  JobStore,
  Orphan,
  StoredJob,
  StoreOwner,
  StoreOwnership,
} from '../../src/store.js';
import { carryOut, type StoreHarness } from '../../src/testing/index.js';

interface Kept extends StoredJob {
  readonly tries: number;
}

interface Room {
  isAlive: boolean;
  /** When its heart was heard last. */
  heardMs: number;
  about: string;
  readonly jobs: Map<string, Kept>;
  claimer: Room | undefined;
  readonly inHand: Set<string>;
}

/** So many at a time: never tried, tried once, tried more often. */
const PORTIONS = [2000, 50, 1];

/** Whoever is silent for so long loses its names. */
const SILENCE_MS = 700;

/** The smallest place that keeps the contract, in memory: a process dies when it is told to. */
export class PlainPlace {
  readonly rooms = new Map<string, Room>();
  readonly names = new Map<string, PlainOwnership>();
  /** Nobody answers. */
  isHanging = false;

  store(): PlainStore {
    return new PlainStore(this);
  }

  room(instanceId: string): Room {
    const empty = {
      isAlive: false,
      heardMs: 0,
      about: '',
      jobs: new Map(),
      claimer: undefined,
      inHand: new Set<string>(),
    };
    const room = this.rooms.get(instanceId) ?? empty;
    this.rooms.set(instanceId, room);
    return room;
  }
}

interface PlainOwnership extends StoreOwnership {
  readonly owner: string;
}

class PlainStore implements JobStore {
  readonly name = 'plain';
  readonly durable = true;
  readonly heartbeatMs = 10;
  readonly #place: PlainPlace;
  #owner: StoreOwner | undefined;
  #isClosed = false;

  constructor(place: PlainPlace) {
    this.#place = place;
  }

  open(owner: StoreOwner): void {
    this.#owner = owner;
    void this.heartbeat();
  }

  put({ key, record, progress }: StoredJob): void | Promise<void> {
    if (this.#place.isHanging) return new Promise(() => {});
    if (!this.#isClosed) this.#room.jobs.set(key, { key, record, progress, tries: 0 });
  }

  checkpoint(key: string, progress: string): void {
    const job = this.#room.jobs.get(key);
    if (job !== undefined && !this.#isClosed) this.#room.jobs.set(key, { ...job, progress });
  }

  delete(key: string): void {
    if (!this.#isClosed) this.#room.jobs.delete(key);
  }

  async heartbeat(): Promise<void> {
    if (this.#isClosed || this.#owner === undefined) return;
    if (this.#place.isHanging) this.#owner.trouble(new Error('nobody answers'));
    if (!this.#room.isAlive) for (const job of this.#owner.jobs()) void this.put(job);
    this.#room.isAlive = true;
    this.#room.heardMs = performance.now();
    this.#room.about = this.#owner.describe();
  }

  async claimOrphans({
    mostTries = Number.POSITIVE_INFINITY,
  }: ClaimOptions = {}): Promise<readonly Orphan[]> {
    if (this.#isClosed) return [];
    for (const [instanceId, room] of this.#place.rooms) {
      const isTaken = room.claimer !== undefined && room.claimer !== this.#room && room.claimer.isAlive;
      if (room.isAlive || isTaken) continue;
      if (room.claimer !== this.#room) room.inHand.clear();
      const orphans = choose(room, mostTries).map((job) => ({ ...job, instanceId, owner: room.about }));
      for (const { key, tries, record, progress } of orphans) {
        room.claimer = this.#room;
        room.inHand.add(key);
        room.jobs.set(key, { key, record, progress, tries });
      }
      if (orphans.length > 0) return orphans;
    }
    return [];
  }

  async markDelivered(ids: readonly string[]): Promise<void> {
    for (const [room, key] of this.#find(ids)) {
      room.jobs.delete(key);
      room.inHand.delete(key);
    }
  }

  async giveBack(
    ids: readonly string[],
    { tried, keep = false }: { tried: boolean; keep?: boolean },
  ): Promise<void> {
    for (const [room, key, job] of this.#find(ids)) {
      if (!keep) room.inHand.delete(key);
      room.jobs.set(key, { ...job, tries: Math.max(0, job.tries - (tried ? 0 : 1)) });
      if (room.inHand.size === 0) room.claimer = undefined;
    }
  }

  setAside(ids: readonly string[]): Promise<void> {
    return this.markDelivered(ids);
  }

  async own(name: string): Promise<StoreOwnership | undefined> {
    const { names } = this.#place;
    const before = names.get(name);
    const owner = before && this.#place.room(before.owner);
    const isTaken = owner?.isAlive && performance.now() - owner.heardMs < SILENCE_MS;
    if (this.#isClosed || isTaken) return undefined;
    void before?.release();
    const over = new AbortController();
    const ownership: PlainOwnership = {
      owner: this.#owner?.instanceId ?? '',
      signal: over.signal,
      deadMs: before && 0,
      async release() {
        if (names.get(name) === ownership) names.delete(name);
        over.abort();
      },
    };
    names.set(name, ownership);
    return ownership;
  }

  async close(): Promise<void> {
    if (this.#isClosed || this.#owner === undefined) return;
    await this.heartbeat();
    for (const one of this.#place.names.values())
      if (one.owner === this.#owner.instanceId) await one.release();
    this.#isClosed = true;
    this.#room.isAlive = false;
    for (const [instanceId, room] of this.#place.rooms) {
      if (room.claimer !== this.#room) continue;
      await this.giveBack(
        [...room.inHand].map((key) => `${instanceId}/${key}`),
        { tried: false },
      );
    }
  }

  get #room(): Room {
    return this.#place.room(this.#owner?.instanceId ?? '');
  }

  *#find(ids: readonly string[]): Generator<[Room, string, Kept]> {
    for (const id of ids) {
      const room = this.#place.rooms.get(id.slice(0, 12));
      const job = room?.jobs.get(id.slice(13));
      if (room !== undefined && job !== undefined) yield [room, job.key, job];
    }
  }
}

function choose({ jobs, inHand }: Room, mostTries: number): Kept[] {
  const free = [...jobs.values()].filter(({ key, tries }) => !inHand.has(key) && tries < mostTries);
  const least = Math.min(...free.map(({ tries }) => tries), 2);
  return free
    .filter(({ tries }) => Math.min(tries, 2) === least)
    .slice(0, PORTIONS[least])
    .map((job) => ({ ...job, tries: job.tries + 1 }));
}

function openPorts(): number {
  return process.getActiveResourcesInfo().filter((type) => type === 'MessagePort').length;
}

/** A harness for it whose every store went through `change`. */
export function plainHarness(change: (store: JobStore) => JobStore = (store) => store): StoreHarness {
  const place = new PlainPlace();
  const hanging = new PlainPlace();
  hanging.isHanging = true;
  return {
    patienceMs: 1500,
    store: async () => change(place.store()),
    hanging: async () => change(hanging.store()),
    async abandon(will) {
      await carryOut(change(place.store()), will);
      // Its own claims end with it as well.
      place.room(will.instanceId).isAlive = false;
    },
    async leave(will) {
      const before = openPorts();
      const store = change(place.store());
      await carryOut(store, will);
      const left = openPorts() - before;
      await store.close();
      if (left > 0) throw new Error('it does not end by itself: it listens');
    },
    async wipe() {
      place.rooms.clear();
    },
  };
}
