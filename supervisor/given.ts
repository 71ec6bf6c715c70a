type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The options that have a value: one that is there and `undefined` would stand for itself where options are merged. */
export function given<T extends object>(options: T): Given<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Given<T>;
}
