import type { IncomingMessage, ServerResponse } from 'node:http';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { replaceMethod } from '../src/replace-method.js';
import type { AnyServer } from './any-server.js';

type Emit = (event: string | symbol, ...args: unknown[]) => boolean;

/** Hands one request on to whoever listens on the server, as if nothing stood between. */
export type PassOn = (event: string, request: IncomingMessage, response: ServerResponse) => boolean;

/** Who is asked before a server's own listeners are. */
export interface Gatekeeper {
  /** Decides what becomes of a request. */
  request(event: string, request: IncomingMessage, response: ServerResponse, passOn: PassOn): boolean;
  /** Decides what becomes of a stream of HTTP/2; its request, if the application works with those, comes while it is passed on. */
  stream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, passOn: () => boolean): boolean;
  /** Whether the listeners get to see this upgrade or CONNECT. */
  upgrade(request: IncomingMessage, socket: Socket): boolean;
}

/**
 * Sees every request and every upgrade of a server before its listeners do, whenever those were added.
 * @returns its undo.
 */
export function interceptRequests(server: AnyServer, keeper: Gatekeeper): () => void {
  return replaceMethod(server as unknown as { emit: Emit }, 'emit', (emit) => {
    const passOn: PassOn = (event, request, response) => emit(event, request, response);
    return (event, ...args) => {
      if (event === 'request' || event === 'checkContinue' || event === 'checkExpectation')
        return keeper.request(event, args[0] as IncomingMessage, args[1] as ServerResponse, passOn);
      if (event === 'stream') {
        const passStreamOn = () => emit(event, ...args);
        return keeper.stream(args[0] as ServerHttp2Stream, args[1] as IncomingHttpHeaders, passStreamOn);
      }
      // HTTP/2 tells of "connect" too, with a session.
      const upgrades = (event === 'upgrade' || event === 'connect') && args.length === 3;
      if (upgrades && !keeper.upgrade(args[0] as IncomingMessage, args[1] as Socket)) return true;
      return emit(event, ...args);
    };
  });
}
