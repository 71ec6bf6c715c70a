// @ts-check
import { compare, quantile } from '../pairs.js';
import { startProgram } from '../processes.js';

export const defaultRounds = 11;
export const defaultSeconds = 2;

/** Short enough that what else the machine does hits both sides of a pair. */
const SLICE_MS = 100;
/** Until the compiler has seen the request path. */
const WARM_UP_MS = 1000;
const SERVERS_PROCESSOR = 0;
const CLIENT_PROCESSOR = 1;
const GOAL = { atLeast: 0.98 };
/** The row that shows what the measuring itself makes of two servers without a difference. */
const CONTROL = 'bare';

/**
 * Every pair is a bare server and a helped one, both in fresh processes, because two processes of one program differ by
 * a percent or two for all their lives; both alive at the same time, on the same processor. The load, 16 keep-alive
 * connections with one request at a time each, comes from a third process on another processor, and goes from one server to
 * the other every 100 ms until each has had `seconds`. Each side counts with the median of its slices: on a busy machine some are
 * lost to somebody else altogether.
 * @param {{ peers: readonly string[], rounds?: number | undefined, seconds?: number | undefined }} wishes
 * @returns {Promise<import('../results.js').Results>}
 */
export async function run({ peers, rounds = defaultRounds, seconds = defaultSeconds }) {
  const helpers = ['shutdown-bus', ...peers, CONTROL];
  /** @type {Map<string, import('../pairs.js').Pair[]>} */
  const pairs = new Map(helpers.map((helper) => [helper, []]));
  const failures = [];
  for (let round = 0; round < rounds; round += 1) {
    process.stderr.write(`throughput, round ${round + 1} of ${rounds} …\n`);
    for (const [helper, list] of pairs) {
      try {
        list.push(await measurePair(helper, seconds, round % 2 === 1));
      } catch (error) {
        failures.push({ name: `throughput, ${helper}`, error: String(error) });
        pairs.delete(helper);
      }
    }
  }
  return { rows: [...pairs].map(([helper, list]) => rowOf(helper, list)), failures };
}

/** @param {string} helper @param {readonly import('../pairs.js').Pair[]} pairs */
function rowOf(helper, pairs) {
  const what = {
    name: `throughput, ${helper === CONTROL ? 'a second bare server' : helper}`,
    unit: 'requests/s',
    relation: /** @type {const} */ ('ratio'),
    digits: 3,
    goal: helper === 'shutdown-bus' ? GOAL : null,
  };
  return compare(what, pairs);
}

/** @param {string} helper @param {number} seconds @param {boolean} bareFirst which one starts first @returns {Promise<import('../pairs.js').Pair>} */
async function measurePair(helper, seconds, bareFirst) {
  const client = startProgram('load-client.js', [], [], CLIENT_PROCESSOR);
  const programs = [client];
  try {
    const servers = [];
    for (const name of bareFirst ? ['bare', helper] : [helper, 'bare']) {
      const program = startProgram('http-service.js', [name], [], SERVERS_PROCESSOR);
      programs.push(program);
      const { port } = await program.next();
      servers.push({ port, rates: /** @type {number[]} */ ([]) });
    }
    for (const { port } of servers) await load(client, port, WARM_UP_MS);
    for (let slice = 0; slice < (seconds * 1000) / SLICE_MS; slice += 1) {
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
