import cluster, { type Address, type Worker } from 'node:cluster';
import { rmSync } from 'node:fs';
import net from 'node:net';
import { constants } from 'node:os';
import type { Logger } from '../src/index.js';
import { isLeftBehind, isSocket, SocketFile } from './socket-file.js';

/** A listening socket as node:net has it inside. */
interface Handle {
  close(callback?: () => void): void;
}

type CreateHandle = (
  address: string,
  port: number,
  type: number,
  fd?: number,
  flags?: number,
) => Handle | number;

/** Not in Node's documentation; node:cluster asks it for the sockets that it shares among workers. */
const inside = net as unknown as { _createServerHandle?: CreateHandle };

/**
 * Holds the ports that the workers share.
 *
 * ```
 * while the service runs   a port stays open, with its backlog, also while no worker is there
 * from the stop on         it is the workers' alone: it closes with the last of them, which has just seen that nobody waits in it
 * ```
 *
 * Left to node:cluster, a port closes when its only worker crashes; and at the end the primary's copy of it goes on taking connections
 * that nobody will accept, until it has heard that the last worker has closed its own.
 */
export class SharedListeners {
  readonly #held = new Map<string, Held>();
  readonly #files = new Map<string, SocketFile>();
  readonly #log: Logger;
  readonly #undo: () => void;

  constructor(log: Logger) {
    this.#log = log;
    const create = inside._createServerHandle;
    const look = (_: Worker, { address }: Address) => this.#lookAtFile(address);
    this.#undo = () => {
      cluster.off('listening', look);
      if (create !== undefined) inside._createServerHandle = create;
    };
    cluster.on('listening', look);
    if (create === undefined) return;
    inside._createServerHandle = (address, port, type, fd, flags) => {
      const key = JSON.stringify([address, port, type, fd, flags]);
      const known = this.#held.get(key);
      if (known !== undefined) return known.take();
      const handle = this.#create(() => create(address, port, type, fd, flags), address);
      // An error is a number; and what was inherited is whoever's it was.
      if (typeof handle === 'object' && !((fd as number) >= 0)) this.#hold(key, handle, port);
      if (port < 0 && isSocket(address)) this.#files.set(address, new SocketFile(address));
      return handle;
    };
  }

  /** The workers have them to themselves from here on. */
  leave(): void {
    this.#undo();
    for (const held of this.#held.values()) held.leave();
    this.#held.clear();
    for (const file of this.#files.values()) file.forget();
    this.#files.clear();
  }

  /** The file of a unix socket stays when its owner is killed, and is in the way of the next one. */
  #create(create: () => Handle | number, address: string): Handle | number {
    const handle = create();
    if (handle !== -constants.errno.EADDRINUSE || !isLeftBehind(address)) return handle;
    this.#log.info(`removed the unix socket ${address}: nobody listens on it any more`);
    rmSync(address, { force: true });
    return create();
  }

  #lookAtFile(path: string): void {
    const found = this.#files.get(path)?.restore() ?? 'there';
    if (found === 'there') return;
    const outcome =
      found === 'restored'
        ? 'it was put back, no client could connect meanwhile'
        : 'no client can connect any more until the supervisor is started again';
    this.#log.error(
      `a worker has removed the unix socket ${path}, which the other workers serve: ${outcome}; let the program leave it alone, its ` +
        'supervisor removes what a killed one has left',
    );
  }

  #hold(key: string, handle: Handle, port: number): void {
    // One that the kernel chooses is another one each time.
    if (port === 0)
      this.#held.set(`${key} ${this.#held.size}`, new Held(handle, { isTcp: true, isKept: false }, () => {}));
    else
      this.#held.set(key, new Held(handle, { isTcp: port > 0, isKept: true }, () => this.#held.delete(key)));
  }
}

class Held {
  readonly #handle: Handle;
  readonly #close: Handle['close'];
  readonly #isTcp: boolean;
  /** The last worker that had it is gone. */
  #isUnused = false;

  /** @param closed called when it is closed for good, by those who had it. */
  constructor(
    handle: Handle,
    { isTcp, isKept }: { readonly isTcp: boolean; readonly isKept: boolean },
    closed: () => void,
  ) {
    this.#handle = handle;
    this.#close = handle.close.bind(handle);
    this.#isTcp = isTcp;
    if (!isKept) return;
    handle.close = (callback) => {
      // Workers that live have closed it themselves.
      if (hasListeningWorker()) {
        closed();
        this.#close(callback);
        return;
      }
      this.#isUnused = true;
      callback?.();
    };
  }

  take(): Handle {
    this.#isUnused = false;
    return this.#handle;
  }

  leave(): void {
    this.#handle.close = this.#close;
    // The name of a unix socket goes with the socket that was bound to it: while workers drain it, it stays.
    if (this.#isTcp || this.#isUnused) this.#close();
  }
}

function hasListeningWorker(): boolean {
  const workers = Object.values(cluster.workers ?? {});
  return workers.some(
    (worker) => worker?.isConnected() && (worker as { state?: string }).state === 'listening',
  );
}
