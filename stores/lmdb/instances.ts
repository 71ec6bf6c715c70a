import type { Database } from './data-file.js';
import { rangeOf } from './keys.js';
import { isAlive, type Life } from './life.js';

/** What the database has of an instance: its life, and what it said of itself. */
export interface OwnerRecord {
  readonly life: Life;
  readonly about: string;
}

/** Is told of what is in a place and makes no sense there. */
export type Unreadable = (place: string) => void;

/** Every instance that has a job here, or has said something of itself. */
export function instancesIn(database: Database, unreadable: Unreadable): readonly string[] {
  const ids = new Set<string>();
  for (const place of database.getKeys(rangeOf('owner'))) ids.add(place.slice('owner/'.length));
  // From one instance to the next, whatever lies between.
  const { end } = rangeOf('job');
  for (let [start, exclusiveStart] = ['job/', false]; ; ) {
    const [place] = database.getKeys({ start, exclusiveStart, end, limit: 1 });
    if (place === undefined) return [...ids];
    const slash = place.indexOf('/', 'job/'.length);
    const id = place.slice('job/'.length, slash);
    if (slash > 0) ids.add(id);
    else unreadable(place);
    [start, exclusiveStart] = slash > 0 ? [`job/${id}0`, false] : [place, true];
  }
}

/** What an instance said of itself; `undefined` when it said nothing that can be read. */
export function ownerOf(
  database: Database,
  instanceId: string,
  unreadable: Unreadable,
): OwnerRecord | undefined {
  const place = `owner/${instanceId}`;
  const value = database.get(place);
  if (value === undefined) return undefined;
  try {
    const owner = JSON.parse(value) as Partial<OwnerRecord> | null;
    if (isLife(owner?.life) && typeof owner?.about === 'string') return owner as OwnerRecord;
  } catch {
    // Torn.
  }
  unreadable(place);
  return undefined;
}

/** Whether its process still runs. */
export function isOwnerAlive(database: Database, instanceId: string, unreadable: Unreadable): boolean {
  const owner = ownerOf(database, instanceId, unreadable);
  return owner !== undefined && isAlive(owner.life);
}

/** It is gone, and so are its jobs. */
export function removeInstance(database: Database, instanceId: string): void {
  for (const kind of ['progress', 'tries'] as const) {
    for (const place of [...database.getKeys(rangeOf(kind, instanceId))]) database.removeSync(place);
  }
  for (const place of [`owner/${instanceId}`, `claim/${instanceId}`]) database.removeSync(place);
}

function isLife(life: Partial<Life> | null | undefined): boolean {
  return Number.isInteger(life?.pid) && Number.isFinite(life?.beatMs);
}
