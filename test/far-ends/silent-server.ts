import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

/** A port on 127.0.0.1 that takes connections and never says a word. */
export interface SilentServer {
  readonly port: number;
  /** Settles when somebody has connected. */
  readonly connected: Promise<void>;
  /** Connections that are open now. */
  open(): number;
  stop(): Promise<void>;
}

/** Starts a {@link SilentServer}. */
export async function startSilentServer(): Promise<SilentServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    socket.resume();
  });
  const connected = once(server, 'connection').then(() => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    connected,
    open: () => sockets.size,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A port on 127.0.0.1 on which nobody listens. */
export async function deadPort(): Promise<number> {
  const server = await startSilentServer();
  await server.stop();
  return server.port;
}
