// @ts-check
// shutdown-memory.js <webhook url> <jobs> <payload bytes>: shuts down with so many open jobs, and prints { before, peak, heapBefore, heapPeak,
// text } in bytes: memory at the trigger and at most, and how much there was to report. Linux only.
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';
import { createShutdownBus } from 'shutdown-bus';

const [url, count, size] = process.argv.slice(2);
// By environment, as services do: the watchdog's thread could deliver as well.
process.env.SHUTDOWN_WEBHOOK_URL = url;
const logger = { info: () => {}, warn: () => {}, error: console.error };
const bus = createShutdownBus({ exit: false, interruptGraceMs: 50, budgetMs: 4000, logger });
let text = 0;
bus.on('delivery', ({ envelope }) => {
  text += JSON.stringify(envelope).length;
});
for (let n = 0; n < Number(count); n += 1)
  bus.jobs.begin({ type: 'render', payload: { n, text: 'x'.repeat(Number(size)) } });
// What a service has loaded when it has been up for a while.
await sleep(500);

/** @param {string} key */
const bytesOf = (key) =>
  Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'latin1'))?.[1]) *
  1024;
const heap = () => getHeapStatistics().used_heap_size;
// The peak is counted from here on.
writeFileSync('/proc/self/clear_refs', '5');
const before = bytesOf('VmRSS');
const heapBefore = heap();
let heapPeak = heapBefore;
const look = () => {
  heapPeak = Math.max(heapPeak, heap());
};
const looking = setInterval(look, 1);
bus.on('delivery', look);
const report = await bus.requestShutdown();
clearInterval(looking);
if (report.jobs.delivered !== Number(count))
  throw new Error(`only ${report.jobs.delivered} jobs were reported`);
const peak = bytesOf('VmHWM');
process.stdout.write(`${JSON.stringify({ before, peak, heapBefore, heapPeak, text })}\n`, () =>
  process.exit(0),
);
