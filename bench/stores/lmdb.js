// @ts-check
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { createShutdownBus } from 'shutdown-bus';
import { lmdbStore } from 'shutdown-bus/stores/lmdb';
import { compare, measurePairs } from '../pairs.js';
import { quietLogger } from './quiet.js';

export const about = 'jobs.begin + complete with the LMDB store against raw putSync + removeSync';
export const defaultRounds = 31;

const PAIRS_A_ROUND = 3000;
/** A service has other jobs open as well. */
const OPEN_JOBS = 100;

/**
 * Ours: `begin({ type, payload })` and `complete()` on a bus with `lmdbStore`.
 * Reference: what somebody would write by hand with lmdb: the same options (`noSync`: the kernel has the record when the call returns),
 * a key of an instance's id and a counter, JSON.stringify of id, type, time and payload, `putSync`, `removeSync`.
 * Both have 100 other records in their file. On a temporary folder of the machine's own disk.
 * @param {number} rounds
 */
export async function run(rounds) {
  const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-bench-'));
  const bus = createShutdownBus({
    exit: false,
    signals: [],
    fatalErrors: false,
    notifiers: [],
    logger: quietLogger,
    store: lmdbStore({ path: join(folder, 'ours') }),
  });
  const database = open({ path: join(folder, 'raw.mdb'), noSync: true, encoding: 'string' });
  try {
    for (let n = 0; n < OPEN_JOBS; n += 1) bus.jobs.begin({ type: 'render', payload: payloadOf(n) });
    const ours = () => microsecondsAJob(() => beginAndComplete(bus));
    const putAndRemove = createRawLoop(database);
    const reference = () => microsecondsAJob(putAndRemove);
    // The first rounds run while the optimiser still works.
    await measurePairs(4, ours, reference);
    const pairs = await measurePairs(rounds, ours, reference);
    const name = 'LMDB: begin + complete';
    return [compare({ name, unit: 'µs', relation: 'ratio', goal: { atMost: 1.3 } }, pairs)];
  } finally {
    bus.dispose();
    await database.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {import('shutdown-bus').ShutdownBus} bus */
function beginAndComplete(bus) {
  for (let n = 0; n < PAIRS_A_ROUND; n += 1)
    bus.jobs.begin({ type: 'render', payload: payloadOf(n) }).complete();
}

/** @param {import('lmdb').RootDatabase<string, string>} database */
function createRawLoop(database) {
  const instanceId = '0123456789ab';
  let begun = 0;
  const put = () => {
    begun += 1;
    const id = String(begun);
    const job = { id, type: 'render', startedAt: Date.now(), payload: payloadOf(begun) };
    database.putSync(`${instanceId}/${id}`, JSON.stringify(job));
    return id;
  };
  for (let n = 0; n < OPEN_JOBS; n += 1) put();
  return () => {
    for (let n = 0; n < PAIRS_A_ROUND; n += 1) database.removeSync(`${instanceId}/${put()}`);
  };
}

/** @param {number} n */
function payloadOf(n) {
  return { page: n, format: 'pdf', customer: `customer-${n % 1000}` };
}

/** @param {() => void} loop */
function microsecondsAJob(loop) {
  const startedAt = performance.now();
  loop();
  return ((performance.now() - startedAt) * 1000) / PAIRS_A_ROUND;
}
