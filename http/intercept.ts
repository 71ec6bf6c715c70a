import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';

type Emit = (this: unknown, event: string | symbol, ...args: unknown[]) => boolean;

/** Hands one request on to whoever listens on the server, as if nothing stood between. */
export type PassOn = (event: string, request: IncomingMessage, response: ServerResponse) => boolean;

/**
 * Sees every request and every upgrade of a server before its listeners do, whenever those were added. `enter` decides what
 * becomes of a request; `upgrade` says whether the listeners get to see this one.
 * @returns its undo.
 */
export function interceptRequests(
  server: Server | HttpsServer,
  enter: (event: string, request: IncomingMessage, response: ServerResponse, passOn: PassOn) => boolean,
  upgrade: (request: IncomingMessage, socket: Socket) => boolean,
): () => void {
  const target = server as { emit: Emit };
  const own = Object.hasOwn(server, 'emit');
  const original = target.emit;
  let active = true;
  const passOn: PassOn = (event, request, response) => original.call(server, event, request, response);
  const intercepting: Emit = function (event, ...args) {
    const asks = event === 'request' || event === 'checkContinue' || event === 'checkExpectation';
    if (asks && active) return enter(event, args[0] as IncomingMessage, args[1] as ServerResponse, passOn);
    const upgrades = event === 'upgrade' || event === 'connect';
    if (upgrades && active && !upgrade(args[0] as IncomingMessage, args[1] as Socket)) return true;
    return original.call(this, event, ...args);
  };
  target.emit = intercepting;
  return () => {
    active = false;
    // Whoever put something on top of ours still calls it; then it only passes on.
    if (target.emit !== intercepting) return;
    if (own) target.emit = original;
    else delete (server as Partial<typeof target>).emit;
  };
}
