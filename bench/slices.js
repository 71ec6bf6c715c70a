// @ts-check
import { quantile } from './pairs.js';
import { startProgram } from './processes.js';

/** Short enough that what else the machine does hits both sides of a pair. */
const SLICE_MS = 100;
/** Until the compiler has seen the request path. */
const WARM_UP_MS = 1000;
const SERVERS_PROCESSOR = 0;
const CLIENT_PROCESSOR = 1;

/**
 * Two servers in fresh processes, both alive at the same time, on the same processor. The load, 16 keep-alive connections with one
 * request at a time each, comes from a third process on another processor, and goes from one server to the other every 100 ms.
 * Each side counts with the median of its slices: on a busy machine some are lost to somebody else altogether.
 * @param {string} program in children/, with one of these for its argument
 * @param {{ ours: string, reference: string, seconds: number, referenceFirst: boolean }} sides
 * @returns {Promise<import('./pairs.js').Pair>} requests a second
 */
export async function measureSlices(program, { ours, reference, seconds, referenceFirst }) {
  const client = startProgram('load-client.js', [], [], CLIENT_PROCESSOR);
  const programs = [client];
  try {
    const servers = [];
    for (const kind of referenceFirst ? [reference, ours] : [ours, reference]) {
      const server = startProgram(program, [kind], [], SERVERS_PROCESSOR);
      programs.push(server);
      const { port } = await server.next();
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
    return referenceFirst ? { ours: second, reference: first } : { ours: first, reference: second };
  } finally {
    for (const program of programs) program.process.kill('SIGKILL');
  }
}

/** @param {import('./processes.js').Program} client @param {number} port @param {number} ms @returns {Promise<{ answers: number, ms: number }>} */
async function load(client, port, ms) {
  client.tell({ port, ms });
  return client.next();
}
