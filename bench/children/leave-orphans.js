// @ts-check
// leave-orphans.js <folder> <jobs>: begins jobs in an LMDB store there, says so, and is gone without a word.
import { createShutdownBus } from 'shutdown-bus';
import { lmdbStore } from 'shutdown-bus/stores/lmdb';

const [path = '', count] = process.argv.slice(2);
const bus = createShutdownBus({ service: 'bench', notifiers: [], store: lmdbStore({ path }) });
for (let n = 0; n < Number(count); n += 1) {
  const payload = { page: n, format: 'pdf', customer: `customer-${n % 1000}` };
  bus.jobs.begin({ type: 'render', payload });
}
process.stdout.write('"gone"\n', () => process.kill(process.pid, 'SIGKILL'));
