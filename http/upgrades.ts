import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../src/clock.js';
import { messageOf } from '../src/errors.js';
import type { Logger } from '../src/index.js';

/** What {@link UpgradeFarewell} is told besides the connection. */
export interface UpgradeContext {
  /** Aborted when the drain phase is over and the connection is about to be closed. */
  readonly signal: AbortSignal;
}

/**
 * Says goodbye on one connection that was upgraded (WebSocket) or made a tunnel (CONNECT). When what it returns has settled,
 * the connection is ended. What it throws is logged, and the connection ended all the same.
 */
export type UpgradeFarewell = (
  socket: Duplex,
  request: IncomingMessage,
  context: UpgradeContext,
) => void | Promise<void>;

/** How long a peer that was told to go may take without a farewell of the application's own, in milliseconds. */
export const FAREWELL_MS = 2000;

/** A connection that speaks HTTP no more. */
export interface Upgrade {
  readonly request: IncomingMessage;
  /** When the connection is ended, on the clock; nobody has said goodbye yet while it is `undefined`. */
  endsAt: number | undefined;
}

/** What a goodbye needs from its drain. */
export interface Farewell {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** The application's own. */
  readonly farewell: UpgradeFarewell | undefined;
}

/**
 * Says goodbye on an upgraded connection: by the application's farewell, else to a WebSocket with close code 1001 as RFC 6455 asks
 * a server that goes down to; of other protocols nothing is known, they are given the time. Never throws.
 */
export function sayGoodbye(
  socket: Socket,
  upgrade: Upgrade,
  { clock, signal, log, farewell }: Farewell,
): void {
  const { request } = upgrade;
  if (farewell === undefined) {
    upgrade.endsAt = clock.now() + FAREWELL_MS;
    try {
      if (request.headers.upgrade?.toLowerCase() === 'websocket') closeWebSocket(socket);
    } catch (error) {
      upgrade.endsAt = clock.now();
      log.warn(`a WebSocket could not be closed: ${messageOf(error)}`);
    }
    return;
  }
  upgrade.endsAt = Number.POSITIVE_INFINITY;
  void (async () => {
    try {
      await farewell(socket, request, { signal });
    } catch (error) {
      log.warn(`onUpgrade failed: ${messageOf(error)}`);
    }
    upgrade.endsAt = clock.now();
  })();
}

const GOING_AWAY = 1001;
/** FIN and opcode 8, two bytes of payload, unmasked as all that a server sends: the code. */
const CLOSE_FRAME = Buffer.from([0x88, 0x02, GOING_AWAY >> 8, GOING_AWAY & 0xff]);

/** By the WebSocket that owns the socket, which sends what it still holds back first; else by a frame of our own. */
function closeWebSocket(socket: Socket): void {
  if (!socket.writable) return;
  const owner = webSocketOf(socket);
  if (owner) owner.close(GOING_AWAY, 'going away');
  else socket.write(CLOSE_FRAME);
}

interface WebSocketLike {
  close(code: number, reason: string): void;
}

/** The package `ws` keeps its WebSocket at the socket, under a symbol that is its own. */
function webSocketOf(socket: object): WebSocketLike | undefined {
  const key = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'websocket');
  const value = key && (socket as Record<symbol, unknown>)[key];
  return typeof (value as Partial<WebSocketLike> | undefined)?.close === 'function'
    ? (value as WebSocketLike)
    : undefined;
}
