// @ts-check
import { createShutdownBus } from 'shutdown-bus';
import { compare, measurePairs } from './pairs.js';
import { askProgram } from './processes.js';

export const about = 'jobs.begin + complete against Map.set + delete; memory of an open job';
export const defaultRounds = 15;

const PAIRS_A_ROUND = 300_000;
const OPEN_JOBS = 200_000;

/**
 * Ours: `begin({ type, payload })` and `complete()` on a bus with its default options.
 * Reference: what a service would write by hand, and no more: a counter as a text for the id, an object with id, type
 * and payload, `map.set`, `map.delete`. No clock, no check, no notification, no signal.
 * On both sides the payload is a new small object, one job is open at a time, and the counter goes on from round to
 * round: V8 remembers the texts of small numbers it has seen, and would hand the same ids out for nothing.
 * @param {number} rounds
 */
export async function run(rounds) {
  const bus = createShutdownBus({ exit: false, signals: [], fatalErrors: false, notifiers: [] });
  const ours = () => nanosecondsAJob(() => beginAndComplete(bus));
  const setAndDelete = createMapLoop();
  const reference = () => nanosecondsAJob(setAndDelete);
  // The first rounds run while the optimiser still works.
  await measurePairs(3, ours, reference);
  const pairs = await measurePairs(rounds, ours, reference);
  bus.dispose();
  return [
    compare({ name: 'begin + complete', unit: 'ns', relation: 'ratio', goal: { atMost: 3 } }, pairs),
    await memoryRow(Math.min(rounds, 3)),
  ];
}

/** @param {import('shutdown-bus').ShutdownBus} bus */
function beginAndComplete(bus) {
  for (let n = 0; n < PAIRS_A_ROUND; n += 1) bus.jobs.begin({ type: 'render', payload: { n } }).complete();
}

function createMapLoop() {
  const open = new Map();
  let begun = 0;
  return () => {
    for (let n = 0; n < PAIRS_A_ROUND; n += 1) {
      begun += 1;
      const id = String(begun);
      open.set(id, { id, type: 'render', payload: { n } });
      open.delete(id);
    }
  };
}

/** @param {() => void} loop */
function nanosecondsAJob(loop) {
  const startedAt = performance.now();
  loop();
  return ((performance.now() - startedAt) * 1e6) / PAIRS_A_ROUND;
}

/** Bytes of heap that one open job holds, each side in its own process, after garbage collection. @param {number} rounds */
async function memoryRow(rounds) {
  /** @param {string} side */
  const bytes = (side) => askProgram('open-jobs.js', [side, String(OPEN_JOBS)], ['--expose-gc']);
  const pairs = await measurePairs(
    rounds,
    () => bytes('bus'),
    () => bytes('map'),
  );
  return compare({ name: 'memory of an open job', unit: 'B', relation: 'ratio', goal: null }, pairs);
}
