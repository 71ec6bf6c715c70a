import type { Server } from 'node:http';
import { Server as NetServer } from 'node:net';
import { replaceMethod } from '../src/replace-method.js';
import { type AnyServer, isHttp2 } from './any-server.js';

/**
 * Keeps a server from being closed under its drain: by a framework's own `close`, by another signal handler. Until it is undone
 *
 * ```
 * close()                 waits for the drain to close the listener; its callback comes when the last connection is gone
 * closeIdleConnections()  does nothing: closed now, a connection would be reset under the request that is on its way
 * closeAllConnections()   does nothing: the drain answers what is open first, and closes all of them then
 * ```
 * @returns its undo. A listener that somebody wanted closed is closed by it at the latest.
 */
export function holdClose(server: AnyServer): () => void {
  let closing = false;
  const close = (callback?: (error?: Error) => void) => {
    if (server.listening) {
      closing = true;
      if (typeof callback === 'function') (server as NetServer).once('close', callback);
    } else NetServer.prototype.close.call(server, callback);
    return server as Server;
  };
  const undo = [replaceMethod(server as Server, 'close', () => close)];
  // HTTP/2 servers have none of these.
  if (!isHttp2(server)) {
    undo.push(replaceMethod(server, 'closeIdleConnections', () => nothing));
    undo.push(replaceMethod(server, 'closeAllConnections', () => nothing));
  }
  return () => {
    for (const restore of undo.splice(0)) restore();
    if (closing && server.listening) server.close();
  };
}

function nothing(): void {}
