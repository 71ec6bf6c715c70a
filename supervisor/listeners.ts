import cluster from 'node:cluster';
import { rmSync } from 'node:fs';
import net from 'node:net';
import { constants } from 'node:os';
import { resolve } from 'node:path';
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
  readonly #held = new Map<string | symbol, Held>();
  readonly #files = new Map<string, SocketFile>();
  readonly #serves: (id: number) => boolean;
  readonly #log: Logger;
  readonly #undo: () => void;

  /** @param serves whether the worker with that id serves, and goes on doing so. */
  constructor(serves: (id: number) => boolean, log: Logger) {
    this.#serves = serves;
    this.#log = log;
    const create = inside._createServerHandle;
    const look = () => {
      for (const [path, file] of this.#files) this.#lookAtFile(path, file);
    };
    this.#undo = () => {
      cluster.off('listening', look).off('exit', look);
      if (create !== undefined) inside._createServerHandle = create;
    };
    // A program may remove it at its start, or at its end.
    cluster.on('listening', look).on('exit', look);
    if (create === undefined) return;
    inside._createServerHandle = (address, port, type, fd, flags) => {
      const key = JSON.stringify([address, port, type, fd, flags]);
      const known = this.#held.get(key);
      // Asked for a second time while it is used: two servers of one worker want the same port, and only one can have it.
      if (known?.isUnused) return known.take();
      const handle = this.#create(() => create(address, port, type, fd, flags), address);
      // An error is a number.
      if (typeof handle !== 'object') return handle;
      this.#hold(key, handle, port);
      if (port < 0) this.#keepFile(resolve(address));
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

  /** @param path the whole of it: Node shortens paths. */
  #keepFile(path: string): void {
    if (isSocket(path)) this.#files.set(path, new SocketFile(path));
  }

  #lookAtFile(path: string, file: SocketFile): void {
    const found = file.restore();
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
    const isAny = port === 0;
    const name = isAny ? Symbol(key) : key;
    const held = new Held(handle, {
      hasFile: port < 0,
      isKept: () => !isAny && !this.#hasServingWorker(),
      closed: () => this.#held.delete(name),
    });
    this.#held.set(name, held);
  }

  #hasServingWorker(): boolean {
    return Object.values(cluster.workers ?? {}).some(
      (worker) =>
        worker?.isConnected() &&
        (worker as { state?: string }).state === 'listening' &&
        this.#serves(worker.id),
    );
  }
}

interface HeldParts {
  /** A unix socket: its name goes with the handle that was bound to it. */
  readonly hasFile: boolean;
  /** Asked when the last worker that had it is gone, or has closed it. */
  readonly isKept: () => boolean;
  /** It is closed for good. */
  readonly closed: () => void;
}

class Held {
  readonly #handle: Handle;
  readonly #close: Handle['close'];
  readonly #hasFile: boolean;
  #isUnused = false;

  constructor(handle: Handle, { hasFile, isKept, closed }: HeldParts) {
    this.#handle = handle;
    this.#close = handle.close.bind(handle);
    this.#hasFile = hasFile;
    handle.close = (callback) => {
      if (isKept()) {
        this.#isUnused = true;
        callback?.();
        return;
      }
      // Workers that live and stay have closed it themselves.
      closed();
      this.#close(callback);
    };
  }

  /** The last worker that had it is gone. */
  get isUnused(): boolean {
    return this.#isUnused;
  }

  take(): Handle {
    this.#isUnused = false;
    return this.#handle;
  }

  leave(): void {
    this.#handle.close = this.#close;
    // While workers drain it, its name stays.
    if (!this.#hasFile || this.#isUnused) this.#close();
  }
}
