// @ts-check
// reload-load.js <settings as JSON>: clients that ask again as soon as they are answered. No request is ever tried twice.
// {"mark":true} on stdin: says what came since the last one. {"end":true}: the same, when all that was asked is answered.
// Ends with its stdin.
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { quantile } from '../pairs.js';
import { BODY } from '../reload/answer.js';

const { port, clients, keepAlive } = JSON.parse(process.argv[2] ?? '{}');
const REQUEST = `GET / HTTP/1.1\r\nHost: bench\r\n${keepAlive ? '' : 'Connection: close\r\n'}\r\n`;
const TIMEOUT_MS = 10_000;
/** After a failure. Asking a closed port as fast as one can would count one gap a thousand times. */
const PAUSE_MS = 5;

let stretch = newStretch();
let stopping = false;
let open = clients;

function newStretch() {
  return {
    since: performance.now(),
    /** @type {Record<string, number>} */
    failed: {},
    /** @type {Record<string, number>} */
    workers: {},
    /** @type {number[]} */
    latencies: [],
  };
}

function takeStretch() {
  const { since, failed, workers, latencies } = stretch;
  stretch = newStretch();
  return {
    ms: stretch.since - since,
    answered: latencies.length,
    failed,
    workers,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
  };
}

/** What is wrong with a whole answer, if anything. @param {string} head @param {string} body */
function faultOf(head, body) {
  const status = head.slice(9, 12);
  if (status !== '200') return status;
  return body === BODY ? undefined : 'wrong answer';
}

/** @param {NodeJS.ErrnoException} error */
function nameOf({ code, message }) {
  if (code === 'ECONNREFUSED') return 'refused';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'reset';
  return code ?? message;
}

/** One client's connection; the next one is opened when it is closed. */
function openConnection() {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  let text = '';
  let askedAt = performance.now();
  let waiting = true;
  let answers = 0;
  let failed = false;

  const ask = () => {
    text = '';
    askedAt = performance.now();
    waiting = true;
    socket.write(REQUEST);
  };
  /** @param {string} how */
  const fail = (how) => {
    if (!waiting) return;
    waiting = false;
    failed = true;
    const what = text !== '' ? 'truncated' : answers > 0 ? `${how} when reused` : how;
    stretch.failed[what] = (stretch.failed[what] ?? 0) + 1;
  };
  const finish = (/** @type {string} */ head, /** @type {string} */ body) => {
    const fault = faultOf(head, body);
    if (fault === undefined) {
      stretch.latencies.push(performance.now() - askedAt);
      const worker = /\r\nx-worker: (\d+)/i.exec(head)?.[1] ?? '';
      stretch.workers[worker] = (stretch.workers[worker] ?? 0) + 1;
    } else {
      stretch.failed[fault] = (stretch.failed[fault] ?? 0) + 1;
      failed = true;
    }
    waiting = false;
    answers += 1;
    if (failed || stopping || !keepAlive || /\r\nconnection: close/i.test(head)) socket.end();
    else ask();
  };

  socket.setEncoding('latin1');
  socket.setTimeout(TIMEOUT_MS, () => {
    fail('timeout');
    socket.destroy();
  });
  socket.once('connect', ask);
  socket.on('data', (chunk) => {
    if (!waiting) return;
    text += chunk;
    const end = text.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = text.slice(0, end + 2);
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? Number.POSITIVE_INFINITY);
    if (text.length >= end + 4 + length) finish(head, text.slice(end + 4));
  });
  socket.once('error', (error) => fail(nameOf(error)));
  socket.once('close', () => {
    fail('closed');
    if (stopping) close();
    else if (failed) setTimeout(openConnection, PAUSE_MS);
    else setImmediate(openConnection);
  });
}

function close() {
  open -= 1;
  if (open === 0) say();
}

function say() {
  process.stdout.write(`${JSON.stringify(takeStretch())}\n`);
}

for (let client = 0; client < clients; client += 1) openConnection();

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  if (JSON.parse(line).end) stopping = true;
  else say();
});
lines.once('close', () => process.exit(0));
