import type { Database } from './data-file.js';
import type { Unreadable } from './instances.js';
import { rangeOf } from './keys.js';

/** How often each of an instance's jobs was claimed in vain, by `<instance>/<key>`. */
export function triesIn(
  database: Database,
  instanceId: string,
  unreadable: Unreadable,
): ReadonlyMap<string, number> {
  const tries = new Map<string, number>();
  for (const { key, value } of database.getRange(rangeOf('tries', instanceId))) {
    const count = countOf(value);
    if (count === 0) unreadable(key);
    tries.set(key.slice('tries/'.length), count);
  }
  return tries;
}

/** Takes one back. @param place `tries/<instance>/<key>` */
export function untry(database: Database, place: string): void {
  const tries = countOf(database.get(place)) - 1;
  if (tries > 0) database.putSync(place, String(tries));
  else database.removeSync(place);
}

/** 0 for what is no count. */
function countOf(value: string | undefined): number {
  const count = Number(value);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}
