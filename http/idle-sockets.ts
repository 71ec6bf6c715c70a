import type { Socket } from 'node:net';
import type { AnyServer } from './any-server.js';

// Node's own list of the connections that speak HTTP/1 on a server, since Node 18: what closeIdleConnections() works with. It is no
// public interface; without it nothing breaks, a half-read head is then taken for a connection between two requests.
const CONNECTIONS = 'http.server.connections';

interface ConnectionsList {
  idle(): readonly { readonly socket: Socket | undefined }[];
}

/**
 * The connections of a server that are between two requests of HTTP/1, as far as Node's parser has read. One that never had a
 * request is among them or not, as the version of Node has it.
 * @returns `undefined` where Node does not know: a server that does not listen itself, HTTP/2 alone.
 */
export function idleSockets(server: AnyServer): ReadonlySet<Socket> | undefined {
  const key = Object.getOwnPropertySymbols(server).find(({ description }) => description === CONNECTIONS);
  const list = key && (server as unknown as Record<symbol, Partial<ConnectionsList> | undefined>)[key];
  if (typeof list?.idle !== 'function') return undefined;
  const sockets = new Set<Socket>();
  for (const { socket } of list.idle()) if (socket) sockets.add(socket);
  return sockets;
}
