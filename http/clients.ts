import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerHttp2Session } from 'node:http2';
import { Socket } from 'node:net';
import type { Clock } from '../src/clock.js';
import { type Answer, bareAnswer } from './answer.js';
import type { AnyServer } from './any-server.js';
import type { Era, Eras } from './eras.js';
import { idleSockets } from './idle-sockets.js';
import type { Upgrade } from './upgrades.js';

/**
 * One connection, from its accept to its close.
 *
 * ```
 *  accepted ──▶ idle ◀──▶ bytes ──▶ requests > 0     served
 *                 │                      │ last answer sent
 *                 │                    ended           our FIN is out, what still comes is discarded
 *                 └─────▶ closed ◀───────┘             by the client, or LINGER_MS later by us
 * ```
 */
export interface Client {
  readonly socket: Socket;
  readonly owner: Clients;
  /** Requests on it that are followed: their response has not closed. */
  requests: number;
  /** The latest one while it is not followed: see {@link OpenRequests}. */
  request: IncomingMessage | undefined;
  response: ServerResponse | undefined;
  noted: boolean;
  /** `socket.bytesRead` when it was last between two requests; 0 until somebody needs to know. */
  mark: number;
  /** Was answered before it had sent the whole body of its request: the rest of that is no beginning of a next one. */
  sending: boolean;
  /** When it was accepted or its last response closed, as long as nobody needs to know it exactly. */
  era: Era;
  /** The same on the clock, from {@link Clients.beginEnding} on. */
  idleSince: number;
  /** When our side was ended, on the clock. */
  endedAt: number | undefined;
  /** It speaks HTTP/2. */
  session: ServerHttp2Session | undefined;
  /** It speaks another protocol since. */
  upgrade: Upgrade | undefined;
  /** TLS has not been agreed on: nothing can be said on it yet. */
  handshaking: boolean;
  /** `socket.bytesRead` when it was last looked at with half a head on it, and when that number changed last. */
  partBytes: number;
  partSince: number;
}

/** How long an ended connection may keep the client's side open, in milliseconds: closed earlier, a reset could overtake the answer. */
export const LINGER_MS = 250;

// Where a socket keeps its client, so that a request finds it without hashing.
const CLIENT = Symbol('shutdown-bus.client');

type ClientSocket = Socket & { [CLIENT]?: Client | undefined };

// Some clients send a stray CRLF after a body; the beginning of a request is longer.
const STRAY_BYTES = 2;

/** Knows every connection of one server, before it has sent a byte, and ends them without cutting answers off. */
export class Clients {
  /** Connections accepted since this was made. */
  accepted = 0;
  /** When somebody last connected or was answered, on the clock; known from {@link beginEnding} on. */
  lastActivity = Number.NEGATIVE_INFINITY;
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

  [Symbol.iterator](): Iterator<Client> {
    return this.#open.values();
  }

  /** The client behind a socket, also one that was accepted before this was made. */
  of(socket: Socket): Client {
    return (socket as ClientSocket)[CLIENT] ?? this.#add(socket);
  }

  /** It asked, or was answered: what it sends next is another request. */
  active(client: Client): void {
    if (!this.#ending) {
      client.era = this.#eras.now();
      return;
    }
    client.mark = client.socket.bytesRead;
    client.idleSince = this.lastActivity = this.#clock.now();
  }

  /** From here on connections are ended so that the last answer arrives whole: see {@link Client}. */
  beginEnding(): void {
    const now = this.#clock.now();
    this.#ending = true;
    if (this.#eras.latest) this.lastActivity = this.#eras.latest.endedAt ?? now;
    for (const client of this.#open) {
      client.idleSince = client.era.endedAt ?? now;
      this.#softenEnd(client.socket);
    }
    this.#findHalfRead();
  }

  /** Reading `bytesRead` after every request would cost a small server a fiftieth of its throughput; Node's parser knows it, too. */
  #findHalfRead(): void {
    const resting = [...this.#open].filter(
      ({ requests, session, upgrade, handshaking }) =>
        requests === 0 && session === undefined && upgrade === undefined && !handshaking,
    );
    const idle = idleSockets(
      this.#server,
      resting.map(({ socket }) => socket),
    );
    for (const client of resting)
      if (client.sending || idle.has(client.socket)) client.mark = client.socket.bytesRead;
  }

  /**
   * Closes an idle connection. With nothing unread and nothing unsent that is an orderly end to the client, at a third of
   * what waiting for the client's own end costs a server with thousands of them.
   */
  close(client: Client): void {
    const { socket, session } = client;
    // TLS and HTTP/2 say goodbye first.
    if (session || socket.writableLength > 0 || this.#isTls()) this.end(client);
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

  #add(socket: Socket): Client {
    const now = this.#ending ? this.#clock.now() : 0;
    if (this.#ending) this.lastActivity = now;
    const client: Client = {
      socket,
      owner: this,
      requests: 0,
      request: undefined,
      response: undefined,
      noted: false,
      mark: 0,
      sending: false,
      era: this.#eras.now(),
      idleSince: now,
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

/** Whether bytes of a request have arrived that is not whole yet. */
export function isHalfRead({ socket, requests, mark, upgrade, session }: Client): boolean {
  if (requests > 0 || upgrade !== undefined || session !== undefined) return false;
  return socket.bytesRead - mark > STRAY_BYTES;
}

function keyOf({ remoteAddress, remotePort }: Socket): string | undefined {
  return remotePort === undefined ? undefined : `${remoteAddress} ${remotePort}`;
}
