import type { Server } from 'node:http';
import type { Http2SecureServer, Http2Server } from 'node:http2';
import type { Server as HttpsServer } from 'node:https';

/** What `drainServer` takes. */
export type AnyServer = Server | HttpsServer | Http2Server | Http2SecureServer;

/** Whether it serves HTTP/2; with `allowHTTP1` it may serve both. */
export function isHttp2(server: AnyServer): server is Http2Server | Http2SecureServer {
  return 'updateSettings' in server;
}

/** Whether it is a server of one of these kinds. */
export function isServer(value: unknown): value is AnyServer {
  const server = value as Partial<Server & Http2Server> | undefined | null;
  if (typeof server?.listen !== 'function') return false;
  return typeof server.closeAllConnections === 'function' || typeof server.updateSettings === 'function';
}
