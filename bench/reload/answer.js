// @ts-check
import { setTimeout as sleep } from 'node:timers/promises';

/** 1.5 KB in which no two places are alike: a piece that is missing or twice there is noticed. */
export const BODY = Array.from({ length: 150 }, (_none, index) => String(index).padStart(9)).join('\n');

/** Waits 2 to 5 ms, as for a database, and says which process answers. @type {import('node:http').RequestListener} */
export async function answer(_request, response) {
  await sleep(2 + Math.random() * 3);
  response.writeHead(200, {
    'content-type': 'text/plain',
    'content-length': BODY.length,
    'x-worker': process.pid,
  });
  response.end(BODY);
}
