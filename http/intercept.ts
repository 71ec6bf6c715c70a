import type { IncomingMessage, ServerResponse } from 'node:http';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { AnyServer } from './any-server.js';

type Emit = (this: unknown, event: string | symbol, ...args: unknown[]) => boolean;

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
  const target = server as unknown as { emit: Emit };
  const own = Object.hasOwn(server, 'emit');
  const original = target.emit;
  let active = true;
  const passOn: PassOn = (event, request, response) => original.call(server, event, request, response);
  const intercepting: Emit = function (event, ...args) {
    const asks = event === 'request' || event === 'checkContinue' || event === 'checkExpectation';
    if (asks && active)
      return keeper.request(event, args[0] as IncomingMessage, args[1] as ServerResponse, passOn);
    if (event === 'stream' && active) {
      const passOn = () => original.call(this, event, ...args);
      return keeper.stream(args[0] as ServerHttp2Stream, args[1] as IncomingHttpHeaders, passOn);
    }
    // HTTP/2 tells of "connect" too, with a session.
    const upgrades = (event === 'upgrade' || event === 'connect') && args.length === 3;
    if (upgrades && active && !keeper.upgrade(args[0] as IncomingMessage, args[1] as Socket)) return true;
    return original.call(this, event, ...args);
  };
  target.emit = intercepting;
  return () => {
    active = false;
    // Whoever put something on top of ours still calls it; then it only passes on.
    if (target.emit !== intercepting) return;
    if (own) target.emit = original;
    else delete (target as Partial<typeof target>).emit;
  };
}
