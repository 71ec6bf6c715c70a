import fs = require('node:fs');
import v8 = require('node:v8');
import threads = require('node:worker_threads');

import type { WatchdogData } from './watchdog.js' with { 'resolution-mode': 'import' };

const { state, settled, dueAt, prefix } = threads.workerData as WatchdogData;
const STDERR = 2;
const MOST_WAIT_MS = 100;
const armed = new Int32Array(state);
/** Milliseconds that a full pipe has held us up. */
let waited = 0;

// No event loop here either: the thread sleeps until it is disarmed or due.
const remainingMs = dueAt - Number(process.hrtime.bigint()) / 1e6;
if (Atomics.wait(armed, 0, 0, Math.max(0, remainingMs)) === 'timed-out') {
  const lines = openLines();
  const fact = `the event loop was still blocked at the deadline; ending the process, ${lines.length} open jobs follow`;
  write(`${prefix + fact}\n`);
  for (const line of lines) write(`${line}\n`);
  kill();
}

function openLines(): string[] {
  const flags = new Uint8Array(settled);
  const lines: string[] = [];
  const port = threads.parentPort as import('node:worker_threads').MessagePort;
  for (let held = threads.receiveMessageOnPort(port); held; held = threads.receiveMessageOnPort(port)) {
    for (const line of (held.message as string).split('\n')) lines.push(line);
  }
  return lines.filter((_line, index) => flags[index] !== 1);
}

function write(text: string): void {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length && waited < MOST_WAIT_MS; ) {
    try {
      written += fs.writeSync(STDERR, bytes, written);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      waited += 5;
    }
  }
}

function kill(): void {
  process.kill(process.pid, 'SIGKILL');
  // The kernel shields the first process of a container even from that, as long as it comes from within. A breakpoint
  // trap raised by the processor it does not shield from.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  v8.setFlagsFromString('--allow-natives-syntax');
  new Function('%SystemBreak()')();
}
