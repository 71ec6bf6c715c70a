// @ts-check
// rolling-load.js <settings as JSON>: clients that ask again as soon as they are answered, until SIGTERM.
// Says every 100 ms how many requests were answered with 200 and how the others failed.
import { connect } from 'node:net';

const { port, keepAlive, single } = JSON.parse(process.argv[2] ?? '{}');

let answered = 0;
/** @type {Record<string, number>} */
const failed = {};
let stopping = false;

/** @param {string} how */
function fail(how) {
  failed[how] = (failed[how] ?? 0) + 1;
}

/** One client: a connection after the other, as few as it can. @param {boolean} stays */
function open(stays) {
  const request = `GET / HTTP/1.1\r\nHost: bench\r\n${stays ? '' : 'Connection: close\r\n'}\r\n`;
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  let text = '';
  let waiting = true;
  socket.setEncoding('latin1');
  socket.once('connect', () => socket.write(request));
  socket.on('data', (chunk) => {
    text += chunk;
    const head = text.indexOf('\r\n\r\n');
    if (head < 0) return;
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? 0);
    if (text.length < head + 4 + length) return;
    const status = text.slice(9, 12);
    if (status === '200') answered += 1;
    else fail(status);
    const closes = /\r\nconnection: close/i.test(text.slice(0, head + 2));
    text = '';
    waiting = !closes && stays && !stopping;
    if (waiting) socket.write(request);
    else socket.end();
  });
  socket.once('error', (error) => {
    if (waiting) fail(/** @type {NodeJS.ErrnoException} */ (error).code ?? error.message);
    waiting = false;
  });
  socket.once('close', () => {
    if (waiting) fail('closed without an answer');
    if (!stopping) setImmediate(open, stays);
  });
}

for (let client = 0; client < keepAlive; client += 1) open(true);
for (let client = 0; client < single; client += 1) open(false);

const say = () => process.stdout.write(`${JSON.stringify({ answered, failed })}\n`);
const beat = setInterval(say, 100);
process.once('SIGTERM', () => {
  stopping = true;
  clearInterval(beat);
  setTimeout(() => {
    say();
    process.exit(0);
  }, 500);
});
