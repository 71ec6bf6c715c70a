import { join } from 'node:path';
import { open } from 'lmdb';
import type { StoreOwner } from '../../src/store.js';

/** The owner of a store, which keeps what it is warned of. */
export function ownerNamed(instanceId: string, warnings: string[] = []): StoreOwner {
  const warn = (line: string) => void warnings.push(line);
  return { instanceId, describe: () => '{}', jobs: () => [], trouble: () => {}, warn };
}

/** Everything that an LMDB store has in its folder. No store is open there. */
export function rowsIn(path: string): Record<string, string> {
  return withDatabase(path, (database) =>
    Object.fromEntries([...database.getRange()].map(({ key, value }) => [key, value])),
  );
}

/** Does what no store does with a folder. No store is open there. */
export function withDatabase<T>(path: string, work: (database: RawDatabase) => T): T {
  const database: RawDatabase = open({
    path: join(path, 'jobs.mdb'),
    noSubdir: true,
    encoding: 'string',
    noSync: true,
    maxReaders: 512,
  });
  try {
    return work(database);
  } finally {
    void database.close();
  }
}

type RawDatabase = ReturnType<typeof open<string, string>>;
