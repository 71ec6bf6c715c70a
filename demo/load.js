// @ts-check
// A, the load: posts jobs and writes down every answer it gets, and every one it does not get. Never asks twice.
// Started by run.js; a line on stdin makes it post its late jobs.
import { once } from 'node:events';
import http from 'node:http';
import { note } from './ledger.js';

const jobs = Number(process.env.JOBS);
const late = Number(process.env.LATE);
const random = randomNumbers(Number(process.env.SEED));

/** @param {number} state @see https://en.wikipedia.org/wiki/Xorshift */
function randomNumbers(state) {
  let x = (Math.imul(state + 1, 0x9e3779b1) | 1) >>> 0;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}

/** Of twenty, eleven are short, three take a second or more, six take longer than any drain. */
function order(/** @type {number} */ number) {
  const between = (/** @type {number} */ least, /** @type {number} */ most) =>
    Math.round(least + random() * (most - least));
  const kind = (number * 7) % 20;
  const [name, workMs] =
    kind < 11
      ? ['short', between(50, 400)]
      : kind < 14
        ? ['medium', between(800, 3500)]
        : ['long', between(20_000, 60_000)];
  return { id: `${name}-${String(number).padStart(3, '0')}`, workMs };
}

const keepAlive = new http.Agent({ keepAlive: true });

/**
 * Posts one job. Resolves when the request is on its way.
 * @param {{ id: string, workMs: number }} job
 * @param {http.Agent | false} agent
 */
async function post({ id, workMs }, agent) {
  note('posted', { job: id, workMs });
  const request = http.request(String(process.env.SERVICE_URL), { method: 'POST', agent });
  request.on('response', async (response) => {
    response.resume();
    response.on('error', (error) => note('dropped', { job: id, why: errorCode(error) }));
    response.on('end', () => note('answered', { job: id, status: response.statusCode }));
  });
  request.on('error', (error) => note('dropped', { job: id, why: errorCode(error) }));
  request.end(JSON.stringify({ id, workMs }));
  await once(request, 'finish').catch(() => {});
  return request.reusedSocket;
}

function errorCode(/** @type {NodeJS.ErrnoException} */ error) {
  return error.code ?? error.message;
}

await Promise.all(Array.from({ length: jobs }, (_, index) => post(order(index + 1), keepAlive)));
note('on-its-way', { jobs });

process.stdin.once('data', async () => {
  // Half of them on new connections, half on ones that idle since their last answer.
  const reused = await Promise.all(
    Array.from({ length: late }, (_, index) =>
      post(order(jobs + index + 1), index % 2 === 0 ? false : keepAlive),
    ),
  );
  const fresh = reused.filter((reusedSocket) => !reusedSocket).length;
  note('late-on-its-way', { fresh, reused: late - fresh });
  process.stdin.destroy();
});
