/**
 * Where things are in Redis. All of an instance's keys have one hash tag, so a cluster keeps them on one node and a script may
 * touch them together.
 *
 * ```
 * <prefix>:instances                    sorted set   every instance, by the end of its lease on Redis's own clock
 * <prefix>:{<instance>}:lease           text         while it exists, the instance lives
 *                      :owner           hash         about: what it said of itself; epoch: which copy of its jobs this is;
 *                                                    epoch-batches: how many it has taken; next, next-batches: the same of a new one
 *                      :jobs            hash         a record for each open job
 *                      :progress        hash         last checkpoints
 *                      :tries           hash         how often a job was claimed in vain
 *                      :claim           text         who reports its jobs
 *                      :aside           hash         never to be claimed again
 *                      :fresh-jobs      hash         a new copy of its jobs, until it is whole
 *                      :fresh-progress  hash
 * <prefix>:name:<name>                  text         who owns that name; empty: it was given up
 * ```
 */
const PARTS = [
  'lease',
  'owner',
  'jobs',
  'progress',
  'tries',
  'claim',
  'aside',
  'fresh-jobs',
  'fresh-progress',
] as const;

/** The list of all instances; on a node of its own in a cluster. */
export function indexKey(prefix: string): string {
  return `${prefix}:instances`;
}

/** All keys of one instance, in the order in which every script takes them. */
export function keysOf(prefix: string, instanceId: string): readonly string[] {
  return PARTS.map((part) => `${prefix}:{${instanceId}}:${part}`);
}

/** Who owns a name. */
export function nameKey(prefix: string, name: string): string {
  return `${prefix}:name:${fieldOf(name)}`;
}

const HALF_CHARACTER = /\p{Surrogate}/u;

/** A job's key as a field of a hash. Redis takes any UTF-8; what is none is written as JSON. */
export function fieldOf(key: string): string {
  return key.startsWith('"') || HALF_CHARACTER.test(key) ? JSON.stringify(key) : key;
}

/** The opposite. A field that was not made of any key is its own key. */
export function keyOf(field: string): string {
  if (!field.startsWith('"')) return field;
  try {
    const key: unknown = JSON.parse(field);
    return typeof key === 'string' && fieldOf(key) === field ? key : field;
  } catch {
    return field;
  }
}

/** All fields that {@link keyOf} gives that key for. */
export function fieldsOf(key: string): readonly string[] {
  const field = fieldOf(key);
  return field === key ? [key] : [field, key];
}
