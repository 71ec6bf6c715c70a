import cluster from 'node:cluster';
import { leaveBacklogToOthers } from '../../http/backlog.js';
import { askAlone, succeed } from '../../src/succession.js';
import { unrefChannel } from '../../src/triggers/ipc.js';
import { showTitle } from '../manners/process-title.js';
import { ORDERS_VARIABLE, read, type WorkerOrders } from '../messages.js';
import { install } from '../signals.js';
import { Adoption } from './adoption.js';
import { closeTogether } from './closing.js';
import { watchOthers } from './others.js';
import { Pulse } from './pulse.js';
import { tell } from './tell.js';

/**
 * Makes this process a worker that its primary can rely on, whatever its program does: it gives signs of life, its servers are drained,
 * and it ends in order when the primary asks, or is gone.
 */
export function beginWorker(): void {
  const orders = takeOrders();
  if (orders === undefined || cluster.worker === undefined) return;
  const title = { role: `worker ${cluster.worker.id}`, exec: process.argv[1] ?? '' } as const;
  showTitle(title);
  const pulse = new Pulse(orders);
  const adoption = new Adoption(orders, watchOthers(), {
    listening: () => pulse.listening(),
    requested: () => pulse.requested(),
    stopping: () => {
      showTitle({ ...title, isStopping: true });
      tell({ type: 'stopping' });
    },
  });
  for (const signal of orders.ignored) install(signal, () => {});
  if (!orders.drainBacklog) leaveBacklogToOthers();
  pulse.begin();
  closeTogether(() => adoption.hasClosed);
  obey(adoption);
  surviveThePrimary(adoption);
}

function takeOrders(): WorkerOrders | undefined {
  const { [ORDERS_VARIABLE]: text } = process.env;
  delete process.env[ORDERS_VARIABLE];
  return text === undefined ? undefined : (JSON.parse(text) as WorkerOrders);
}

function obey(adoption: Adoption): void {
  process.on('message', (message) => {
    if (read('asked', message)) letGo();
    const order = read('end', message);
    if (order === undefined) return;
    const { signal, isSucceeded, budgetMs } = order;
    letGo();
    askAlone();
    if (isSucceeded) succeed();
    if (budgetMs !== undefined)
      void adoption.bus.requestShutdownWithin(budgetMs, { kind: 'signal', signal }, true);
    // Whoever else listens for it in this process gets it as well.
    process.kill(process.pid, signal);
  });
  unrefChannel(process.channel);
}

/** From here on a program that has nothing left to do comes to its end: its channel to the primary is no reason to stay. */
function letGo(): void {
  process.channel?.unref();
}

/** node:cluster would end the process at once, with whatever is open in it. */
function surviveThePrimary(adoption: Adoption): void {
  process.prependListener('disconnect', () => {
    const { worker } = cluster;
    if (worker === undefined || worker.exitedAfterDisconnect) return;
    worker.exitedAfterDisconnect = true;
    void adoption.bus.requestShutdown('the primary is gone');
  });
  unrefChannel(process.channel);
}
