import { createHash } from 'node:crypto';

/**
 * Where things are in the database. A kind, an instance, a job:
 *
 * ```
 * owner/<instance>           what the instance said of itself, and whether it lives
 * claim/<instance>           who reports its jobs
 * job/<instance>/<key>       a record
 * progress/<instance>/<key>  its last checkpoint
 * tries/<instance>/<key>     how often it was claimed in vain
 * aside/<instance>/<key>     never to be claimed again
 * name/<name>                which instance owns that name
 * ```
 */
export type Kind = 'owner' | 'claim' | 'job' | 'progress' | 'tries' | 'aside';

// `~` begins a hash, and is in no other name.
const PLAIN = /^(?:[\x20-\x7d]{1,256}|~[\da-f]{64})$/;

/** A job's place. LMDB takes so many bytes a key, and some characters not at all: another one has its hash for a name. */
export function placeOf(kind: Kind, instanceId: string, key: string): string {
  return `${kind}/${instanceId}/${isPlain(key) ? key : hashOf(key)}`;
}

/** The place of a name that one instance owns. */
export function namePlace(name: string): string {
  return `name/${isPlain(name) ? name : hashOf(name)}`;
}

/** Whether a key is its own place; the record of another one must tell it. */
export function isPlain(key: string): boolean {
  return PLAIN.test(key);
}

/** Everything of one kind and one instance, as a range of places. */
export function rangeOf(kind: Kind, instanceId?: string): { readonly start: string; readonly end: string } {
  const start = instanceId === undefined ? `${kind}/` : `${kind}/${instanceId}/`;
  return { start, end: `${start.slice(0, -1)}0` };
}

/** The name of a key that is none itself. */
export function hashOf(key: string): string {
  return `~${createHash('sha256').update(JSON.stringify(key)).digest('hex')}`;
}
