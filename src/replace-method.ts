type Method = (...args: unknown[]) => unknown;

/**
 * Puts something in front of a method of one object.
 * @param wrap gets the method as it was, bound to the object; of one that is not the object's own, always the latest, so that
 * whoever patches the class later is heard, too.
 * @returns its undo, safe to call twice. What somebody else has put on top stays, and then reaches the method as it was.
 */
export function replaceMethod<T extends object, K extends keyof T>(
  target: T,
  name: K,
  wrap: (beneath: T[K]) => T[K],
): () => void {
  const own = Object.hasOwn(target, name);
  const original = target[name];
  const inherited = Object.getPrototypeOf(target) as T;
  const beneath: Method = (...args) => ((own ? original : inherited[name]) as Method).apply(target, args);
  const wrapped = wrap(beneath as T[K]) as Method;
  let active = true;
  const replacement = ((...args) => (active ? wrapped : beneath)(...args)) as T[K] & Method;
  target[name] = replacement;
  return () => {
    active = false;
    if (target[name] !== replacement) return;
    if (own) target[name] = original;
    else delete target[name];
  };
}
