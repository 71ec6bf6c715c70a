import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** A wire with latency: what comes in on one side goes out on the other `delayMs` later, ends included. */
export class Relay {
  /** Local ports of clients whose connection the service refused: nothing they sent reached it. */
  readonly refused = new Set<number>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(target: number, delayMs: number): Promise<Relay> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const relay = new Relay(server);
    server.on('connection', (client) => relay.#join(client, target, delayMs));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4096, resolve));
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(client: Socket, target: number, delayMs: number): void {
    const clientPort = client.remotePort as number;
    const service = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    for (const socket of [client, service]) {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    }
    service.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') this.refused.add(clientPort);
    });
    forward(client, service, delayMs);
    forward(service, client, delayMs);
  }
}

function forward(from: Socket, to: Socket, delayMs: number): void {
  from.on('data', (chunk) => setTimeout(() => to.write(chunk), delayMs));
  from.once('end', () => setTimeout(() => to.end(), delayMs));
  // A reset goes on as one.
  from.on('error', () => setTimeout(() => to.resetAndDestroy(), delayMs));
  from.once('close', () => setTimeout(() => to.destroy(), delayMs));
}
