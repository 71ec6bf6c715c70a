import type { Http2Server, ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { AnyServer } from './any-server.js';
import type { Clients } from './clients.js';

/** Learns which connections of a server are HTTP/2. @returns its undo. */
export function watchSessions(server: AnyServer, clients: Clients): () => void {
  const opened = (session: ServerHttp2Session) => {
    // A proxy that shows the socket's own properties, and so its client.
    if (session.socket) clients.of(session.socket as Socket).session = session;
  };
  (server as Http2Server).on('session', opened);
  return () => void (server as Http2Server).off('session', opened);
}
