import cluster from 'node:cluster';
import { subscribe } from 'node:diagnostics_channel';
import { currentBus } from '../../src/default-bus.js';
import { watchLoop } from '../blocked-stack/watch.js';
import { REPORTS_FD, type WorkerOrders } from '../messages.js';
import { tell } from './tell.js';

/** Tells the primary that the event loop turns, and how much this worker has done. */
export class Pulse {
  readonly #orders: WorkerOrders;
  #requests = 0;
  #isLoaded = false;
  #isListening = false;

  constructor(orders: WorkerOrders) {
    this.#orders = orders;
  }

  /** The first beat is now. */
  begin(): void {
    const { beatMs, blockedMs, abandonedMs, logPrefix } = this.#orders;
    const prefix = `${logPrefix}worker ${cluster.worker?.id} (pid ${process.pid}): `;
    const watch =
      blockedMs &&
      watchLoop({ afterMs: blockedMs, abandonedMs, everyMs: beatMs, prefix, reportTo: REPORTS_FD });
    subscribe('http.server.request.start', () => this.requested());
    this.#send();
    setInterval(() => {
      this.#isLoaded = true;
      if (watch) watch.beat();
      this.#send();
    }, beatMs).unref();
  }

  requested(): void {
    this.#requests += 1;
  }

  /** A server listens: the primary need not wait for the next beat. */
  listening(): void {
    this.#isListening = true;
    this.#send();
  }

  #send(): void {
    tell({
      type: 'beat',
      requests: this.#requests,
      isLoaded: this.#isLoaded,
      isListening: this.#isListening,
      instanceId: currentBus()?.instanceId,
    });
  }
}
