import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A road to a server on 127.0.0.1 that can be long, or closed. */
export interface TcpProxy {
  readonly port: number;
  /** Milliseconds for each way, from now on. */
  delayMs: number;
  /** Ends all connections, and lets nobody through. */
  block(): void;
  unblock(): void;
  stop(): Promise<void>;
}

/** Starts one. */
export async function startTcpProxy(target: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let isBlocked = false;
  const proxy = { delayMs: 0 };
  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  };
  const forward = (from: Socket, to: Socket) => {
    from.on('data', (chunk) => void setTimeout(() => to.write(chunk), proxy.delayMs));
    from.on('close', () => to.destroy());
  };
  const server = createServer((near) => {
    track(near);
    if (isBlocked) return;
    const far = connect(target, '127.0.0.1');
    track(far);
    forward(near, far);
    forward(far, near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const end = () => {
    for (const socket of sockets) socket.destroy();
  };
  return Object.assign(proxy, {
    port: (server.address() as AddressInfo).port,
    block() {
      isBlocked = true;
      end();
    },
    unblock() {
      isBlocked = false;
      end();
    },
    async stop() {
      end();
      server.close();
      await once(server, 'close');
    },
  });
}
