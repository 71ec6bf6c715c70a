import { Socket } from 'node:net';
import type { Clock } from '../src/clock.js';
import { type Answer, bareAnswer } from './answer.js';
import type { AnyServer } from './any-server.js';
import type { Client } from './client.js';
import type { Eras } from './eras.js';
import { idleSockets } from './idle-sockets.js';

/** How long an ended connection may keep the client's side open, in milliseconds: closed earlier, a reset could overtake the answer. */
export const LINGER_MS = 250;

// Where a socket keeps its client, so that a request finds it without hashing.
const CLIENT = Symbol('shutdown-bus.client');

type ClientSocket = Socket & { [CLIENT]?: Client | undefined };

/** Knows every connection of one server, before it has sent a byte, and ends them without cutting answers off. */
export class Clients {
  /** Connections accepted since this was made. */
  accepted = 0;
  readonly #open = new Set<Client>();
  readonly #server: AnyServer;
  readonly #clock: Clock;
  readonly #onGone: (client: Client) => void;
  readonly #undo: () => void;
  readonly #eras: Eras;
  #ending = false;

  /** @param eras when what happened, until the ending begins */
  constructor(server: AnyServer, clock: Clock, eras: Eras, onGone: (client: Client) => void) {
    this.#server = server;
    this.#clock = clock;
    this.#eras = eras;
    this.#onGone = onGone;
    this.#undo = this.#isTls() ? this.#watchTls() : this.#watchPlain();
  }

  /** Connections open now. */
  get size(): number {
    return this.#open.size;
  }

  /** When somebody last connected or was answered, on the clock; known from {@link beginEnding} on. */
  get lastActivity(): number {
    return this.#eras.latest?.endedAt ?? Number.NEGATIVE_INFINITY;
  }

  [Symbol.iterator](): Iterator<Client> {
    return this.#open.values();
  }

  /** The client behind a socket, also one that was accepted before this was made. */
  of(socket: Socket): Client {
    return (socket as ClientSocket)[CLIENT] ?? this.#add(socket);
  }

  /** It asked, or was answered: what it sends next is another request. */
  active(client: Client): void {
    client.era = this.#eras.now();
    if (this.#ending) client.mark = client.socket.bytesRead;
  }

  /** From here on connections are ended so that the last answer arrives whole: see {@link Client}. */
  beginEnding(): void {
    this.#ending = true;
    this.#eras.beExact();
    // Reading `bytesRead` after every request would cost a small server a fiftieth of its throughput; Node's parser knows it, too.
    const idle = idleSockets(this.#server);
    for (const client of this.#open) {
      const { socket, requests } = client;
      this.#softenEnd(socket);
      if (requests === 0 && (idle?.has(socket) ?? true)) client.mark = socket.bytesRead;
    }
  }

  /**
   * Closes an idle connection. With nothing unread and nothing unsent that is an orderly end to the client, at a third of
   * what waiting for the client's own end costs a server with thousands of them.
   */
  close(client: Client): void {
    const { socket, session, sending } = client;
    // TLS and HTTP/2 say goodbye first; what still comes of a body would reset the connection.
    if (session || sending || socket.writableLength > 0 || this.#isTls()) this.end(client);
    else socket.destroy();
  }

  /**
   * Ends our side; what the client still sends is discarded, and so are new streams of HTTP/2, while its open ones go on. Safe to
   * call twice. GOAWAY has no milder word before it: whatever Node sends, it serves no stream that comes later, so the notice
   * of RFC 9113, 6.8 that only asks the client to leave would lose the streams that are on their way.
   */
  end(client: Client): void {
    if (client.endedAt !== undefined) return;
    client.endedAt = this.#clock.now();
    if (client.session && !client.session.destroyed) {
      client.session.close();
      return;
    }
    client.socket.end();
    // Without a reader the client's own end would never be seen.
    if (client.socket.readableFlowing === false) client.socket.resume();
  }

  /** The last words on a connection that has no response to say them with. */
  endWith(client: Client, answer: Answer): void {
    client.socket.write(bareAnswer(answer));
    this.end(client);
  }

  /** Closes a connection whatever is open on it. */
  destroy({ session, socket }: Client): void {
    session?.destroy();
    socket.destroy();
  }

  /** Forgets all of it; connections stay as they are. */
  dispose(): void {
    this.#undo();
    this.#eras.dispose();
    for (const client of this.#open) {
      this.forget(client);
      if (this.#ending) delete (client.socket as Partial<Socket>).destroySoon;
    }
  }

  #isTls(): boolean {
    return 'setSecureContext' in this.#server;
  }

  #watchPlain(): () => void {
    const connected = (socket: Socket) => {
      this.accepted += 1;
      this.of(socket);
    };
    // Before HTTP/2's own listener, which tells of the session at once.
    this.#server.prependListener('connection', connected);
    return () => void this.#server.off('connection', connected);
  }

  /** A TLS server shows a connection twice: raw from the accept on, and secure after the handshake. Only the second may be ended then. */
  #watchTls(): () => void {
    const shaking = new Map<string, Socket>();
    const connected = (raw: Socket) => {
      this.accepted += 1;
      const key = keyOf(raw);
      // A unix socket has no ports to match the two by.
      if (key === undefined) return;
      shaking.set(key, raw);
      this.#add(raw).handshaking = true;
      raw.once('close', () => shaking.delete(key));
    };
    const secured = (secure: Socket) => {
      const raw = shaking.get(keyOf(secure) ?? '');
      if (raw) this.forget(this.of(raw));
      this.#add(secure);
    };
    this.#server.prependListener('connection', connected);
    this.#server.prependListener('secureConnection', secured);
    return () => {
      this.#server.off('connection', connected);
      this.#server.off('secureConnection', secured);
    };
  }

  #add(shown: Socket): Client {
    // HTTP/2 shows a stand-in, which throws once its session is gone; a method of it is one of the socket's own.
    const socket = shown.off('close', closed);
    const client: Client = {
      socket,
      owner: this,
      requests: 0,
      response: undefined,
      mark: 0,
      sending: false,
      era: this.#eras.now(),
      endedAt: undefined,
      session: undefined,
      upgrade: undefined,
      handshaking: false,
      partBytes: 0,
      partSince: 0,
    };
    // It has had its close already, and would stay on the list for ever.
    if (socket.destroyed) return client;
    this.#open.add(client);
    (socket as ClientSocket)[CLIENT] = client;
    socket.on('close', closed);
    if (this.#ending) this.#softenEnd(socket);
    return client;
  }

  /** Takes a client off the list. */
  forget(client: Client): void {
    const socket: ClientSocket = client.socket;
    if (!this.#open.delete(client)) return;
    socket[CLIENT] = undefined;
    socket.off('close', closed);
  }

  /** Its connection was closed. */
  gone(client: Client): void {
    this.forget(client);
    this.#onGone(client);
  }

  /** Node ends a connection after its last answer with destroySoon: closed while bytes are unread, it would be reset. */
  #softenEnd(socket: Socket): void {
    socket.destroySoon = endSoftly;
  }
}

// One function for all sockets: each finds its client by `this`.
function closed(this: ClientSocket): void {
  const client = this[CLIENT];
  if (client !== undefined) client.owner.gone(client);
}

function endSoftly(this: ClientSocket): void {
  const client = this[CLIENT];
  if (client !== undefined) client.owner.end(client);
  else Socket.prototype.destroySoon.call(this);
}

function keyOf({ remoteAddress, remotePort }: Socket): string | undefined {
  return remotePort === undefined ? undefined : `${remoteAddress} ${remotePort}`;
}
