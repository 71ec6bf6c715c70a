import { hashOf, isPlain } from './keys.js';

/** A record as it is written. One whose place does not tell its key says it itself. */
export function writeRecord(key: string, record: string): string {
  return isPlain(key) ? record : JSON.stringify({ key, record });
}

/** The opposite. @param place `job/<instance>/<key>` */
export function readRecord(place: string, value: string): { readonly key: string; readonly record: string } {
  const name = place.slice(place.indexOf('/', place.indexOf('/') + 1) + 1);
  if (!name.startsWith('~')) return { key: name, record: value };
  try {
    const { key, record } = JSON.parse(value) as { key?: unknown; record?: unknown };
    if (typeof key === 'string' && typeof record === 'string' && hashOf(key) === name) return { key, record };
  } catch {
    // Torn, or somebody else's. Its name is as good as any to put it aside with.
  }
  return { key: name, record: value };
}
