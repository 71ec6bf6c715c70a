import type { Database } from './data-file.js';
import { rangeOf } from './keys.js';
import { isAlive, type Life } from './life.js';

/** What the database has of an instance: its life, and what it said of itself. */
export interface OwnerRecord {
  readonly life: Life;
  readonly about: string;
}

/** Every instance that has a job here, or has said something of itself. */
export function instancesIn(database: Database): readonly string[] {
  const ids = new Set<string>();
  for (const place of database.getKeys(rangeOf('owner'))) ids.add(place.slice('owner/'.length));
  // From one instance to the next, whatever lies between.
  const { end } = rangeOf('job');
  for (let start = 'job/'; ; ) {
    const [place] = database.getKeys({ start, end, limit: 1 });
    if (place === undefined) return [...ids];
    const id = place.slice('job/'.length, place.indexOf('/', 'job/'.length));
    ids.add(id);
    start = `job/${id}0`;
  }
}

/** What an instance said of itself; `undefined` when it said nothing that can be read. */
export function ownerOf(database: Database, instanceId: string): OwnerRecord | undefined {
  try {
    return JSON.parse(database.get(`owner/${instanceId}`) ?? '') as OwnerRecord;
  } catch {
    return undefined;
  }
}

/** Whether its process still runs. */
export function isOwnerAlive(database: Database, instanceId: string): boolean {
  const owner = ownerOf(database, instanceId);
  return owner?.life !== undefined && isAlive(owner.life);
}

/** It is gone, and so are its jobs. */
export function removeInstance(database: Database, instanceId: string): void {
  for (const kind of ['progress', 'tries'] as const) {
    for (const place of [...database.getKeys(rangeOf(kind, instanceId))]) database.removeSync(place);
  }
  for (const place of [`owner/${instanceId}`, `claim/${instanceId}`]) database.removeSync(place);
}
