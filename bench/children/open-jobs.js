// @ts-check
// open-jobs.js bus|map|lmdb <jobs>: prints the bytes of heap that one open job holds. Needs --expose-gc.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createShutdownBus } from 'shutdown-bus';
import { lmdbStore } from 'shutdown-bus/stores/lmdb';

const [side, count] = [process.argv[2], Number(process.argv[3])];
const collect = /** @type {() => void} */ (globalThis.gc);
const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
const store = side === 'lmdb' ? { store: lmdbStore({ path: folder }) } : {};
const bus = createShutdownBus({ exit: false, signals: [], fatalErrors: false, notifiers: [], ...store });
const map = new Map();

/** The same payload on both sides. @param {number} from @param {number} to */
function open(from, to) {
  for (let n = from; n < to; n += 1) {
    const job = { type: 'render', payload: { n } };
    if (side === 'map') map.set(String(n), { id: String(n), ...job });
    else bus.jobs.begin(job);
  }
}

// Code and feedback of the first jobs are not what a job costs.
open(0, 1000);
await new Promise((resolve) => setTimeout(resolve, 100));
collect();
const before = process.memoryUsage().heapUsed;
open(1000, count + 1000);
collect();
const after = process.memoryUsage().heapUsed;
if (bus.jobs.size + map.size !== count + 1000) throw new Error('not every job is open');
process.stdout.write(`${(after - before) / count}\n`, () => process.exit(0));
