// @ts-check
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compare, quantile } from '../pairs.js';
import { startProgram } from '../processes.js';
import { startRedisServer } from './redis-server.js';

export const about = 'requests a second of a server with one job a request, by store, against no job';
export const defaultRounds = 7;

const SLICE_MS = 100;
const SLICES = 16;
const WARM_UP_MS = 1000;
const SERVERS_PROCESSOR = 0;
const CLIENT_PROCESSOR = 1;

/**
 * Both servers are drained by shutdown-bus and answer at once; one runs a job a request. Fresh processes for each pair, both
 * alive at the same time on one processor, the load (16 keep-alive connections) from a third process on another one, which
 * goes from one server to the other every 100 ms. Each side counts with the median of its slices. A server that does nothing else shows
 * the cost at its largest.
 * @param {number} rounds
 */
export async function run(rounds) {
  const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-bench-'));
  const redis = await startRedisServer();
  try {
    const rows = [];
    for (const [name, store] of [
      ['no store', 'memory'],
      ['LMDB', `lmdb:${join(folder, 'jobs')}`],
      ['Redis', redis.url],
    ]) {
      const pairs = [];
      for (let round = 0; round < rounds; round += 1)
        pairs.push(await measurePair(/** @type {string} */ (store), round % 2 === 1));
      const what = { name: `HTTP, a job a request: ${name}`, unit: 'requests/s', digits: 3, goal: null };
      rows.push(compare({ ...what, relation: 'ratio' }, pairs));
    }
    return rows;
  } finally {
    redis.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {string} store @param {boolean} bareFirst @returns {Promise<import('../pairs.js').Pair>} */
async function measurePair(store, bareFirst) {
  const client = startProgram('load-client.js', [], [], CLIENT_PROCESSOR);
  const programs = [client];
  try {
    const servers = [];
    for (const kind of bareFirst ? ['none', store] : [store, 'none']) {
      const program = startProgram('job-service.js', [kind], [], SERVERS_PROCESSOR);
      programs.push(program);
      const { port } = await program.next();
      servers.push({ port, rates: /** @type {number[]} */ ([]) });
    }
    for (const { port } of servers) await load(client, port, WARM_UP_MS);
    for (let slice = 0; slice < SLICES; slice += 1) {
      for (const server of slice % 2 === 0 ? servers : [...servers].reverse()) {
        const { answers, ms } = await load(client, server.port, SLICE_MS);
        server.rates.push((answers / ms) * 1000);
      }
    }
    const [first = Number.NaN, second = Number.NaN] = servers.map(({ rates }) => quantile(rates, 0.5));
    return bareFirst ? { ours: second, reference: first } : { ours: first, reference: second };
  } finally {
    for (const program of programs) program.process.kill('SIGKILL');
  }
}

/** @param {import('../processes.js').Program} client @param {number} port @param {number} ms @returns {Promise<{ answers: number, ms: number }>} */
async function load(client, port, ms) {
  client.tell({ port, ms });
  return client.next();
}
