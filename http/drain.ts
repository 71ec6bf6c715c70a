import { Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  constants,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { Server as NetServer, type Socket } from 'node:net';
import { sleep } from '../src/clock.js';
import type { JobDelivery, JobView, Logger, ShutdownEvents } from '../src/index.js';
import { createInstanceLogger } from '../src/logger.js';
import { ownCode } from '../src/own-code.js';
import { type Answer, bareAnswer, REQUEST_TIMEOUT, TRY_AGAIN } from './answer.js';
import { Answering } from './answering.js';
import { type AnyServer, isHttp2 } from './any-server.js';
import { type Client, Clients, isHalfRead } from './clients.js';
import { type DrainCounts, Tally } from './counts.js';
import { endEventStream, isSubscription } from './event-streams.js';
import { type Exchange, isHttp2Response, PairExchange, StreamExchange } from './exchange.js';
import { holdClose } from './hold-close.js';
import { interceptRequests, type PassOn } from './intercept.js';
import { OpenRequests, type RequestEnding, type TrackedRequest } from './open-requests.js';
import type { DrainSettings } from './options.js';
import { ParkedRequests } from './parked.js';
import { closeConnectionAfter } from './pipeline.js';
import { type Asked, answerProbe, probeOf } from './probes.js';
import { watchSessions } from './sessions.js';
import { sayGoodbye } from './upgrades.js';

/**
 * ```
 *            stopping            phase deliver
 *  serving ───────────▶ closing ───────────────▶ delivering
 *  keep-alive           Connection: close        new requests get 503
 * ```
 */
type Stage = 'serving' | 'closing' | 'delivering';

/** What all steps of one server's drain share: its clients, its requests, and where it stands. */
export class Drain {
  readonly server: AnyServer;
  readonly settings: DrainSettings;
  readonly clients: Clients;
  readonly requests: OpenRequests;
  readonly answering: Answering;
  readonly parked = new ParkedRequests();
  readonly tally = new Tally();
  readonly log: Logger;
  /** When the trigger came, on the clock. */
  stoppedAt = 0;
  /** Whether the drain phase had its time; not so in a quick shutdown. */
  drained = false;
  #stage: Stage = 'serving';
  #acceptedBefore = 0;
  /** The listener and every connection are closed, those from before this was made included. */
  #serverClosed = false;
  /** Upgraded connections were told to go. */
  #leaving = false;
  /** Connections may exist that nobody told us of. */
  readonly #attachedLate: boolean;
  readonly #undo: (() => void)[] = [];
  #wake: (() => void) | undefined = undefined;
  /** Lets others close the server again. */
  #letGo: () => void = () => undefined;

  constructor(server: AnyServer, settings: DrainSettings) {
    const { config, instanceId } = settings.bus;
    this.server = server;
    this.settings = settings;
    this.log = createInstanceLogger(config.logger, config.service, instanceId);
    this.clients = new Clients(server, config.clock, (client) => {
      this.requests.abandon(client);
      if (this.clients.size === 0) this.#wake?.();
    });
    // With `wait` a request gets the same answer whatever its jobs came to, a little earlier at best.
    const jobsMatter = settings.answer !== 'wait';
    this.requests = new OpenRequests((record, ending) => this.#ended(record, ending), jobsMatter);
    this.answering = new Answering(settings.answer, this.log);
    this.#attachedLate = server.listening;
    this.#undo.push(
      interceptRequests(server, {
        request: this.#enter,
        stream: this.#enterStream,
        upgrade: this.#upgrade,
      }),
      watchSessions(server, this.clients),
      () => this.clients.dispose(),
      this.#watchServer(),
      this.#watchBus(),
      () => this.#letGo(),
    );
  }

  /** `:8080`, a unix socket's path, or nothing before the server listens. */
  get label(): string {
    const address = this.server.address();
    if (address === null) return '';
    return typeof address === 'string' ? address : `:${address.port}`;
  }

  get counts(): DrainCounts {
    const accepted = this.#stage === 'serving' ? 0 : this.clients.accepted - this.#acceptedBefore;
    return this.tally.snapshot(accepted);
  }

  /** Whether no connection is left. */
  get deserted(): boolean {
    return this.clients.size === 0 && (!this.#attachedLate || this.#serverClosed);
  }

  /** Whether no code of the application is under way on any connection. */
  get idle(): boolean {
    if (this.requests.size > 0) return false;
    for (const { upgrade } of this.clients) if (upgrade !== undefined) return false;
    return true;
  }

  /** Closes the listener alone: http's own close() also destroys idle connections, in a race with their next request. */
  closeListener(): void {
    if (this.server.listening) NetServer.prototype.close.call(this.server);
  }

  /** Closes a connection without a request; one of which only the beginning has come is told so. */
  close(client: Client): void {
    if (client.upgrade) this.clients.end(client);
    else if (isHalfRead(client)) this.#refusePart(client);
    else this.clients.close(client);
  }

  /** Tells upgraded connections to go, and event streams, whose clients come back by themselves; from here on nobody upgrades. */
  sayGoodbye(signal: AbortSignal): void {
    const { clock } = this.settings.bus.config;
    this.#leaving = true;
    for (const client of this.clients) {
      const { socket, upgrade } = client;
      if (upgrade === undefined || upgrade.endsAt !== undefined) continue;
      this.tally.upgraded += 1;
      sayGoodbye(socket, upgrade, { clock, signal, log: this.log, farewell: this.settings.onUpgrade });
    }
    for (const { request, response } of [...this.requests]) {
      if (isSubscription(request, response)) endEventStream(response);
    }
  }

  /** Ends idle connections that were accepted before this was made and have asked for nothing since. */
  endStrangers(): void {
    if (this.#attachedLate && this.clients.size === 0 && !isHttp2(this.server))
      HttpServer.prototype.closeIdleConnections.call(this.server);
  }

  /** Resolves when the last request or the last connection is gone, after `ms`, or when `signal` aborts. */
  async change(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await sleep(this.settings.bus.config.clock, ms, AbortSignal.any([signal, woken.signal]));
    this.#wake = undefined;
  }

  /** Closes what is left, and gives the server back; requests that were still open or half read count as reset. */
  destroyAll(): void {
    for (const record of [...this.requests]) {
      const whole = record.refused ? 'refused' : 'answered';
      this.requests.end(record, record.finished ? whole : 'reset');
    }
    for (const client of [...this.clients]) {
      if (client.endedAt === undefined && isHalfRead(client)) this.#countUnseen('reset');
      this.clients.destroy(client);
    }
    if (this.#attachedLate && !isHttp2(this.server))
      HttpServer.prototype.closeAllConnections.call(this.server);
    this.#letGo();
  }

  dispose(): void {
    for (const undo of this.#undo.splice(0)) undo();
  }

  readonly #enter = (
    event: string,
    request: IncomingMessage,
    response: ServerResponse,
    passOn: PassOn,
  ): boolean => {
    if (isHttp2Response(response)) return this.#enterPair(event, request, response, passOn);
    // The application may emit it again, after checkContinue say.
    if (this.requests.of(response)) return passOn(event, request, response);
    const client = this.clients.of(request.socket);
    if (client.endedAt !== undefined) return this.#tooLate(request);
    const record = this.#admit(new PairExchange(request, response), request, client);
    if (record === undefined) return true;
    if (this.#stage !== 'serving' && !closeConnectionAfter(record)) {
      this.requests.end(record, 'reset');
      return true;
    }
    const handOn = () => passOn(event, request, response);
    if (!this.parked.open) return this.requests.run(record, handOn);
    this.parked.park(() => {
      // Its client may have left meanwhile, or been told to try again: the drain was cut short.
      if (this.requests.of(response) && !record.answering) this.requests.run(record, handOn);
    });
    return true;
  };

  readonly #enterStream = (
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    passOn: () => boolean,
  ): boolean => {
    const { session } = stream;
    if (session?.socket === undefined) return passOn();
    const client = this.clients.of(session.socket as Socket);
    client.session ??= session as ServerHttp2Session;
    if (session.closed) return this.#refuseStream(stream);
    const asked = { method: headers[':method'], url: headers[':path'] };
    const record = this.#admit(new StreamExchange(stream, headers), asked, client);
    if (record !== undefined) return this.requests.run(record, passOn);
    stream.on('error', ignore);
    return true;
  };

  /** @returns the request if the application is to see it; a probe, and what comes too late, is answered here. */
  #admit(exchange: Exchange, asked: Asked, client: Client): TrackedRequest | undefined {
    const { readinessPath, livenessPath, bus } = this.settings;
    const probe = probeOf(asked, readinessPath, livenessPath);
    if (probe !== undefined) {
      this.clients.rested(client);
      answerProbe(exchange.response, probe, bus.ready);
      return undefined;
    }
    const record = this.requests.begin(exchange, client);
    if (this.#stage === 'serving') return record;
    this.tally.requests += 1;
    bus.enforceDeadline();
    if (this.#stage !== 'delivering') return record;
    this.answering.refuse(record);
    return undefined;
  }

  /** The same stream as a request and a response, for an application that works with those. */
  #enterPair(event: string, request: IncomingMessage, response: ServerResponse, passOn: PassOn): boolean {
    const { stream } = response as unknown as Http2ServerResponse;
    const exchange = this.requests.of(stream)?.exchange;
    if (exchange instanceof StreamExchange)
      exchange.adopt(request as unknown as Http2ServerRequest, response as unknown as Http2ServerResponse);
    return passOn(event, request, response);
  }

  /** Its session was closed: the client is told that nobody has seen this request, and may send it elsewhere. */
  #refuseStream(stream: ServerHttp2Stream): true {
    this.#countUnseen('refused');
    stream.on('error', ignore);
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
    return true;
  }

  readonly #upgrade = (request: IncomingMessage, socket: Socket): boolean => {
    const client = this.clients.of(socket);
    if (!this.#leaving && client.endedAt === undefined) {
      client.upgrade = { request, endsAt: undefined };
      this.settings.bus.enforceDeadline();
      return true;
    }
    // Node has taken its own listeners off.
    socket.on('error', ignore).resume();
    if (client.endedAt === undefined) this.#endWith(client, TRY_AGAIN);
    else this.#tooLate(request);
    return false;
  };

  /** The last words on a connection that has no response to say them with. */
  #endWith(client: Client, answer: Answer): void {
    client.socket.write(bareAnswer(answer));
    this.clients.end(client);
  }

  /** Time is up for a request of which only the beginning has come. */
  #refusePart(client: Client): void {
    if (client.handshaking) {
      this.#countUnseen('reset');
      this.clients.close(client);
      return;
    }
    this.#countUnseen('refused');
    this.#endWith(client, REQUEST_TIMEOUT);
  }

  /**
   * Our side was ended already: its client finds the end instead of an answer, and knows that nobody has seen this request. What it sends
   * is read on and discarded; closed under it, the connection would be reset, and the reset overtakes an answer that is still leaving.
   */
  #tooLate(request: IncomingMessage): true {
    this.#countUnseen('reset');
    request.resume();
    return true;
  }

  /** A request that the application has not seen. */
  #countUnseen(ending: RequestEnding): void {
    this.tally.requests += 1;
    this.tally.ended(ending);
  }

  #ended({ client, exchange }: TrackedRequest, ending: RequestEnding): void {
    this.clients.rested(client);
    // Answered before its body had arrived: the rest of that is no beginning of a next one.
    if (!client.session && !exchange.request.complete)
      exchange.request.once('end', () => this.clients.rested(client));
    if (this.#stage === 'serving') return;
    this.tally.ended(ending);
    if (this.requests.size === 0) this.#wake?.();
  }

  #watchServer(): () => void {
    const closed = () => {
      this.#serverClosed = true;
      this.#wake?.();
    };
    (this.server as NetServer).on('close', closed);
    return () => void (this.server as NetServer).off('close', closed);
  }

  #watchBus(): () => void {
    const { bus } = this.settings;
    const begun = (job: JobView) => this.requests.adopt(job);
    const finished = (job: JobView) => this.requests.release(job);
    const delivered = ({ envelope, outcome }: JobDelivery) => {
      const record = this.requests.reported(envelope.subject, outcome);
      if (record?.reported && this.#stage === 'delivering') this.answering.answer(record);
    };
    const stopping = () => this.#stop();
    const phaseStarted = ({ phase }: ShutdownEvents['phase-started'][0]) => {
      if (phase === 'deliver') this.#stage = 'delivering';
    };
    for (const observer of [begun, finished, delivered, stopping, phaseStarted]) ownCode(observer);
    bus.on('job-begun', begun).on('job-finished', finished).on('delivery', delivered);
    bus.on('stopping', stopping).on('phase-started', phaseStarted);
    return () => {
      bus.off('job-begun', begun).off('job-finished', finished).off('delivery', delivered);
      bus.off('stopping', stopping).off('phase-started', phaseStarted);
    };
  }

  #stop(): void {
    const { tally, clients, requests } = this;
    this.#stage = 'closing';
    this.#letGo = holdClose(this.server);
    this.stoppedAt = this.settings.bus.config.clock.now();
    this.#acceptedBefore = clients.accepted;
    tally.openAtStop = clients.size;
    tally.requestsAtStop = requests.size;
    tally.requests = requests.size;
    clients.beginEnding();
    for (const record of requests) if (!record.client.session) closeConnectionAfter(record);
    this.log.info(`http ${this.label}: ${clients.size} clients connected, ${requests.size} requests open`);
  }
}

/** For what the application is not shown: its client may leave as it likes, and nobody else listens for the error of that. */
function ignore(): void {}
