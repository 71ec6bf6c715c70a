import type { StoreSettings } from '../config/store-settings.js';
import type { JobStore } from '../store.js';

// Subpaths of this package: the core knows its backends by name only.
const SOURCES = {
  lmdb: { module: 'shutdown-bus/stores/lmdb', factory: 'lmdbStore' },
  redis: { module: 'shutdown-bus/stores/redis', factory: 'redisStore' },
} as const;

/**
 * Loads the store that the environment names, without a turn in between: the first job must find it.
 * @throws {ShutdownError} `PACKAGE_MISSING`
 */
export function loadStore({ kind, options }: StoreSettings): JobStore {
  const { module, factory } = SOURCES[kind];
  const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);
  const loaded = require(module) as Record<string, (options: unknown) => JobStore>;
  return (loaded[factory] as (options: unknown) => JobStore)(options);
}
