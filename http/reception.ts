import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  constants,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { TRY_AGAIN } from './answer.js';
import type { Client } from './client.js';
import type { Drain } from './drain.js';
import { bodyOf, type Exchange, isHttp2Response, PairExchange, StreamExchange } from './exchange.js';
import type { Gatekeeper, PassOn } from './intercept.js';
import { closeConnectionAfter } from './pipeline.js';
import { type Asked, answerProbe, type Probe, probeOf } from './probes.js';
import type { TrackedRequest } from './tracked-request.js';

/**
 * What becomes of everything that comes in, by where the drain stands.
 *
 * ```
 * a probe                                  answered here
 * serving                                  passed on to the application
 * closing                                  passed on; its answer is the last one on its connection
 * closing, the listener just about to      parked, then passed on
 * delivering                               told 503 and Retry-After
 * on a connection we have ended            read and discarded; HTTP/2 refuses the stream
 * ```
 */
export class Reception implements Gatekeeper {
  readonly #drain: Drain;

  constructor(drain: Drain) {
    this.#drain = drain;
  }

  request(event: string, request: IncomingMessage, response: ServerResponse, passOn: PassOn): boolean {
    const { requests, clients, parked, stage } = this.#drain;
    // Made up by a test say: on no connection that could be drained.
    if (!request.socket) return passOn(event, request, response);
    if (isHttp2Response(response)) return this.#streamPair(event, request, response, passOn);
    // Emitted again after its client has left: there is nothing to wait for.
    if (response.destroyed || request.socket.destroyed) return passOn(event, request, response);
    const client = clients.of(request.socket);
    // The application may emit it again, after checkContinue say.
    if (requests.has(response, client)) return passOn(event, request, response);
    if (client.endedAt !== undefined) return this.#tooLate(request);
    const probe = this.#probeOf(request, client);
    if (probe !== undefined) return this.#answerProbe(response, probe);
    const handOn = () => passOn(event, request, response);
    if (stage === 'serving') {
      clients.active(client);
      requests.note(response, client);
      return requests.run(response, bodyOf(request), handOn);
    }
    const record = this.#admit(new PairExchange(request, response), client);
    if (record === undefined) return true;
    if (!parked.open) return requests.run(response, bodyOf(request), handOn);
    parked.park(() => {
      // Its client may have left meanwhile, or been told to try again: the drain was cut short.
      if (requests.of(response) && !record.answering) requests.run(response, bodyOf(request), handOn);
    });
    return true;
  }

  stream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, passOn: () => boolean): boolean {
    const { requests, clients } = this.#drain;
    const { session } = stream;
    if (session?.socket === undefined) return passOn();
    const client = clients.of(session.socket as Socket);
    client.session ??= session as ServerHttp2Session;
    if (session.closed) return this.#refuseStream(stream);
    const exchange = new StreamExchange(stream, headers);
    const probe = this.#probeOf({ method: headers[':method'], url: headers[':path'] }, client);
    if (probe === undefined && this.#admit(exchange, client) !== undefined)
      return requests.run(stream, exchange.body, passOn);
    stream.on('error', ignore);
    if (probe !== undefined) this.#answerProbe(exchange.response, probe);
    return true;
  }

  upgrade(request: IncomingMessage, socket: Socket): boolean {
    const { clients, leaving, settings } = this.#drain;
    // Node 26 has a stream of its own for an upgrade whose request has a body that is still to come.
    const client = clients.of(request.socket ?? socket);
    if (!leaving && client.endedAt === undefined) {
      client.upgrade = { request, endsAt: undefined };
      settings.bus.enforceDeadline();
      return true;
    }
    // Node has taken its own listeners off.
    socket.on('error', ignore).resume();
    if (client.endedAt === undefined) clients.endWith(client, TRY_AGAIN);
    else this.#tooLate(request);
    return false;
  }

  #probeOf(asked: Asked, client: Client): Probe | undefined {
    const { settings, clients } = this.#drain;
    const probe = probeOf(asked, settings.readinessPath, settings.livenessPath);
    if (probe !== undefined) clients.active(client);
    return probe;
  }

  #answerProbe(response: ServerResponse, probe: Probe): true {
    answerProbe(response, probe, this.#drain.settings.bus);
    return true;
  }

  /** Opens a request. @returns it if the application is to see it; what comes too late is answered here. */
  #admit(exchange: Exchange, client: Client): TrackedRequest | undefined {
    const { settings, stage, clients, requests, tally, answering } = this.#drain;
    const record = requests.begin(exchange, client);
    if (stage === 'serving') {
      clients.active(client);
      return record;
    }
    tally.requests += 1;
    settings.bus.enforceDeadline();
    // It may come behind one whose answer was to be the last.
    if (exchange instanceof PairExchange && !closeConnectionAfter(record)) requests.end(record, 'reset');
    else if (stage !== 'delivering') return record;
    else answering.refuse(record);
    return undefined;
  }

  /** A stream that was let in already, as a request and a response, for an application that works with those. */
  #streamPair(event: string, request: IncomingMessage, response: ServerResponse, passOn: PassOn): boolean {
    const { stream } = response as unknown as Http2ServerResponse;
    const exchange = this.#drain.requests.of(stream)?.exchange;
    if (exchange instanceof StreamExchange)
      exchange.adopt(request as unknown as Http2ServerRequest, response as unknown as Http2ServerResponse);
    return passOn(event, request, response);
  }

  /** Its session was closed: the client is told that nobody has seen this request, and may send it elsewhere. */
  #refuseStream(stream: ServerHttp2Stream): true {
    this.#drain.tally.unseen('refused');
    stream.on('error', ignore);
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
    return true;
  }

  /**
   * Our side was ended already: its client finds the end instead of an answer, and knows that nobody has seen this request. What it sends
   * is read on and discarded; closed under it, the connection would be reset, and the reset overtakes an answer that is still leaving.
   */
  #tooLate(request: IncomingMessage): true {
    this.#drain.tally.unseen('reset');
    request.resume();
    return true;
  }
}

/** For what the application is not shown: its client may leave as it likes, and nobody else listens for the error of that. */
function ignore(): void {}
