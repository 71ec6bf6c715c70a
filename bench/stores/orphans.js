// @ts-check
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createShutdownBus } from 'shutdown-bus';
import { webhookNotifier } from 'shutdown-bus/notifiers/webhook';
import { lmdbStore } from 'shutdown-bus/stores/lmdb';
import { compare } from '../pairs.js';
import { startProgram } from '../processes.js';

export const about = '100,000 jobs of a killed process through webhookNotifier, and whether it grows in line';
export const defaultRounds = 3;

const COUNTS = [25_000, 50_000, 100_000];
const MOST_MS = 5000;

/**
 * From the making of a bus on the path of a killed process until its last job was taken by a receiver in another process and is
 * out of the store. The reference of each row is what the row before it makes of it when the time grows in line; the
 * last one's goal is 5 s.
 * @param {number} rounds
 */
export async function run(rounds) {
  const receiver = startProgram('receiver.js');
  try {
    const { url } = await receiver.next();
    /** @type {Map<number, number[]>} */
    const times = new Map(COUNTS.map((count) => [count, []]));
    for (let round = 0; round < rounds; round += 1) {
      for (const [count, list] of times) list.push(await recover(count, url));
    }
    return COUNTS.map((count, index) => rowOf(times, count, COUNTS[index - 1] ?? count));
  } finally {
    receiver.process.kill('SIGKILL');
  }
}

/** @param {Map<number, number[]>} times @param {number} count @param {number} before */
function rowOf(times, count, before) {
  const pairs = (times.get(count) ?? []).map((ms, round) => ({
    ours: ms,
    reference: (times.get(before)?.[round] ?? Number.NaN) * (count / before),
  }));
  const row = compare(
    {
      name: `LMDB: ${count.toLocaleString('en')} orphans over the webhook`,
      unit: 'ms',
      relation: 'ratio',
      goal: null,
      note:
        count === before
          ? 'the first, compared with itself'
          : `reference: ${before.toLocaleString('en')} × ${count / before}`,
    },
    pairs,
  );
  const last = count === COUNTS.at(-1);
  return last ? { ...row, met: row.ours <= MOST_MS, note: `${row.note}; goal: at most ${MOST_MS} ms` } : row;
}

/** @param {number} count @param {string} url @returns {Promise<number>} milliseconds */
async function recover(count, url) {
  const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-bench-'));
  const path = join(folder, 'jobs');
  try {
    const dead = startProgram('leave-orphans.js', [path, String(count)]);
    const exited = once(dead.process, 'exit');
    await dead.next();
    await exited;
    const startedAt = performance.now();
    const bus = createShutdownBus({
      service: 'bench',
      exit: false,
      signals: [],
      fatalErrors: false,
      notifiers: [webhookNotifier({ url, maxBatchSize: 500 })],
      store: lmdbStore({ path }),
      logger: { info: () => {}, error: console.error, warn: (line) => void lines.push(line) },
    });
    /** @type {string[]} */
    const lines = [];
    while (lines.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (performance.now() - startedAt > 120_000)
        throw new Error(`${count} jobs took more than two minutes`);
    }
    const ms = performance.now() - startedAt;
    if (!lines[0]?.includes(`reported ${count} jobs of processes that are gone`)) throw new Error(lines[0]);
    bus.dispose();
    return ms;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
