import { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { AnyServer } from './any-server.js';

/**
 * Which of these connections are between two requests of HTTP/1, as far as Node's parser has read. One that never had a request is told
 * of or not, as the version of Node has it.
 *
 * Node does not tell, but has a method that closes exactly those: it is asked to, and finds a `destroy` that does not.
 */
export function idleSockets(server: AnyServer, sockets: readonly Socket[]): ReadonlySet<Socket> {
  const idle = new Set<Socket>();
  // Whoever has put an own method there is not overruled; such a connection counts as one in use.
  const asked = sockets.filter((socket) => !socket.destroyed && !Object.hasOwn(socket, 'destroy'));
  if (asked.length === 0) return idle;
  const noteIdle = function (this: Socket): Socket {
    idle.add(this);
    return this;
  };
  for (const socket of asked) socket.destroy = noteIdle;
  try {
    Server.prototype.closeIdleConnections.call(server);
  } finally {
    for (const socket of asked) delete (socket as Partial<Socket>).destroy;
  }
  return idle;
}
