import type { Http2Server, ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { AnyServer } from './any-server.js';
import type { Client, Clients } from './clients.js';

/** Learns which connections of a server are HTTP/2. @returns its undo. */
export function watchSessions(server: AnyServer, clients: Clients): () => void {
  const opened = (session: ServerHttp2Session) => {
    // A proxy that shows the socket's own properties, and so its client.
    if (session.socket) clients.of(session.socket as Socket).session = session;
  };
  (server as Http2Server).on('session', opened);
  return () => void (server as Http2Server).off('session', opened);
}

/**
 * Sends GOAWAY: streams that come from here on are refused, and the session is over after its last open one. Safe to call
 * twice. There is no milder word before it: whatever GOAWAY Node sends, it serves no stream that comes later, so the notice
 * of RFC 9113, 6.8 that only asks the client to leave would lose the streams that are on their way.
 */
export function closeSession({ session }: Client): void {
  if (session && !session.closed && !session.destroyed) session.close();
}
