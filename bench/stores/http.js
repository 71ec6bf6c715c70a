// @ts-check
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compare } from '../pairs.js';
import { measureSlices } from '../slices.js';
import { startRedisServer } from './redis-server.js';

export const about = 'requests a second of a server with one job a request, by store, against no job';
export const defaultRounds = 7;

const SIDES = { reference: 'none', seconds: 1.6 };

/**
 * Both servers are drained by shutdown-bus and answer at once; one runs a job a request. A server that does nothing else shows the
 * cost at its largest.
 * @param {number} rounds
 */
export async function run(rounds) {
  const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-bench-'));
  const redis = await startRedisServer();
  try {
    const rows = [];
    for (const [name, store] of /** @type {[string, string][]} */ ([
      ['no store', 'memory'],
      ['LMDB', `lmdb:${join(folder, 'jobs')}`],
      ['Redis', redis.url],
    ])) {
      const pairs = [];
      for (let round = 0; round < rounds; round += 1)
        pairs.push(
          await measureSlices('job-service.js', { ...SIDES, ours: store, referenceFirst: round % 2 === 1 }),
        );
      const what = { name: `HTTP, a job a request: ${name}`, unit: 'requests/s', digits: 3, goal: null };
      rows.push(compare({ ...what, relation: 'ratio' }, pairs));
    }
    return rows;
  } finally {
    redis.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
