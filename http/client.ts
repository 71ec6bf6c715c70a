import type { ServerResponse } from 'node:http';
import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { Clients } from './clients.js';
import type { Era } from './eras.js';
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
  /** That of the latest one while it is not followed: see {@link OpenRequests}. */
  response: ServerResponse | undefined;
  /** `socket.bytesRead` when it was last between two requests; 0 until somebody needs to know. */
  mark: number;
  /** Was answered before it had sent the whole body of its request: the rest of that is no beginning of a next one. */
  sending: boolean;
  /** When it was accepted, last asked, or its last response closed. */
  era: Era;
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

// Some clients send a stray CRLF after a body; the beginning of a request is longer.
const STRAY_BYTES = 2;

/** Whether bytes of a request have arrived that is not whole yet. */
export function isHalfRead({ socket, requests, mark, sending, upgrade, session }: Client): boolean {
  if (requests > 0 || sending || upgrade !== undefined || session !== undefined) return false;
  return socket.bytesRead - mark > STRAY_BYTES;
}

/** When it was accepted, last asked, or its last response closed, on the clock; known from {@link Clients.beginEnding} on. */
export function idleSince({ era }: Client): number {
  return era.endedAt ?? Number.POSITIVE_INFINITY;
}
