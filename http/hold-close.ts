import { Server as NetServer } from 'node:net';
import type { AnyServer } from './any-server.js';

type Method = (this: unknown, ...args: unknown[]) => unknown;

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
  const undo = [
    replace(server, 'close', (callback) => {
      if (server.listening) {
        closing = true;
        if (typeof callback === 'function') (server as NetServer).once('close', callback as () => void);
      } else NetServer.prototype.close.call(server, callback as () => void);
      return server;
    }),
    replace(server, 'closeIdleConnections', () => undefined),
    replace(server, 'closeAllConnections', () => undefined),
  ];
  return () => {
    for (const restore of undo.splice(0)) restore();
    if (closing && server.listening) server.close();
  };
}

/** Puts a method over one that the server has. @returns its undo. */
function replace(server: AnyServer, name: string, method: Method): () => void {
  const target = server as unknown as Record<string, Method | undefined>;
  const original = target[name];
  if (original === undefined) return () => undefined;
  const own = Object.hasOwn(server, name);
  let active = true;
  const replacement: Method = function (...args) {
    return (active ? method : original).apply(this, args);
  };
  target[name] = replacement;
  return () => {
    active = false;
    // Whoever put something on top of ours still calls it; then it only passes on.
    if (target[name] !== replacement) return;
    if (own) target[name] = original;
    else delete target[name];
  };
}
