import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

export interface RawClientOptions {
  readonly tls?: boolean;
  readonly allowHalfOpen?: boolean;
  readonly host?: string;
}

/** A client made of bytes: sees exactly what the server sent, and how the connection ended. */
export class RawClient {
  readonly socket: Socket;
  text = '';
  /** The error code of a connection that was cut; undefined for a clean end. */
  error: string | undefined;
  ended = false;
  /** Resolves when the kernel has the connection, which may be long before the server accepts it. */
  readonly established: Promise<void>;
  /** Resolves when something can be said on it: with TLS after the handshake. */
  readonly connected: Promise<void>;
  /** Resolves when the connection is closed, however that came about. */
  readonly closed: Promise<void>;
  readonly #waiters = new Set<() => void>();

  constructor(port: number, options: RawClientOptions = {}) {
    const { tls = false, allowHalfOpen = false, host = '127.0.0.1' } = options;
    const target = { port, host, allowHalfOpen };
    this.socket = tls ? connectTls({ ...target, rejectUnauthorized: false }) : connect(target);
    this.socket.setEncoding('utf8');
    this.established = new Promise((resolve) => this.socket.once('connect', () => resolve()));
    this.connected = new Promise((resolve) =>
      this.socket.once(tls ? 'secureConnect' : 'connect', () => resolve()),
    );
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()));
    this.socket.on('data', (chunk: string) => {
      this.text += chunk;
      for (const waiter of this.#waiters) waiter();
    });
    this.socket.on('end', () => {
      this.ended = true;
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? error.message;
    });
  }

  /** Writes the head of a GET request. */
  get(path: string, headers = ''): this {
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`);
    return this;
  }

  /** Resolves when what came so far contains `part`, rejects when the connection closes before. */
  until(part: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (!this.text.includes(part)) return;
        this.#waiters.delete(check);
        resolve();
      };
      this.#waiters.add(check);
      void this.closed.then(() =>
        reject(new Error(`closed (${this.error}) before ${JSON.stringify(part)}; got ${this.text}`)),
      );
      check();
    });
  }

  /** The status codes of all answers so far. */
  get statuses(): number[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
  }

  /** Everything after the head of the last answer. */
  get body(): string {
    return this.text.slice(this.text.lastIndexOf('\r\n\r\n') + 4);
  }
}
