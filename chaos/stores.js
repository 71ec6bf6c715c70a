// @ts-check
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRedisServer } from '../bench/stores/redis-server.js';

/** @typedef {import('./ways.js').StoreName} StoreName */

/**
 * A kind of store, and how it is to be treated.
 * @typedef {object} Kind
 * @property {boolean} durable somebody else can report what a process left in it
 * @property {boolean} keepsCheckpoints one that has returned can no longer be lost
 * @property {number} mostSurplus so many jobs of one process may be reported that it had finished
 * @property {number} roundSize so many die before a survivor comes
 * @property {number} survivorLimitMs so long may the survivor take until nothing is missing
 * @property {() => string | undefined} missing why it cannot be had here
 * @property {() => Promise<OpenStore>} open a new one
 */

/**
 * @typedef {object} OpenStore
 * @property {string} address what SHUTDOWN_STORE is set to
 * @property {() => Promise<void>} [restart] all that it held is gone
 * @property {string} [folder] where it can be looked at afterwards
 * @property {(keep: boolean) => Promise<void>} close
 */

/** A job is out of the store when `complete` returns: death comes in between for one of them. */
const AT_ONCE = 1;
/** What was finished within a moment goes to Redis together. Four were the most in a hundred processes. */
const ON_ITS_WAY = 12;

/** @type {Readonly<Record<StoreName, Kind>>} */
export const STORES = {
  memory: {
    durable: false,
    keepsCheckpoints: true,
    mostSurplus: AT_ONCE,
    roundSize: 20,
    survivorLimitMs: 0,
    missing: () => undefined,
    open: async () => ({ address: 'memory', close: async () => {} }),
  },
  lmdb: {
    durable: true,
    keepsCheckpoints: true,
    mostSurplus: AT_ONCE,
    roundSize: 20,
    // What two processes died with it takes when it has lived for 5 s itself.
    survivorLimitMs: 30_000,
    missing: () => undefined,
    async open() {
      const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-chaos-lmdb-'));
      return {
        address: `lmdb:${folder}`,
        folder,
        async close(keep) {
          if (!keep) rmSync(folder, { recursive: true, force: true });
        },
      };
    },
  },
  redis: {
    durable: true,
    keepsCheckpoints: false,
    mostSurplus: ON_ITS_WAY,
    // A survivor has to wait until the leases of the dead are over.
    roundSize: 100,
    survivorLimitMs: 60_000,
    missing() {
      if (!isExported('shutdown-bus/stores/redis')) return 'this build has no such store';
      const { status } = spawnSync('redis-server', ['--version']);
      return status === 0 ? undefined : 'there is no redis-server on the PATH';
    },
    async open() {
      let server = await startRedisServer();
      return {
        address: server.url,
        async restart() {
          await server.stop();
          server = await startRedisServer(server.port);
        },
        close: () => server.stop(),
      };
    },
  },
};

/** @param {string} name */
function isExported(name) {
  try {
    import.meta.resolve(name);
    return true;
  } catch {
    return false;
  }
}
