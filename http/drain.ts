import { Server as HttpServer, type IncomingMessage } from 'node:http';
import { Server as NetServer } from 'node:net';
import { sleep } from '../src/clock.js';
import type { JobDelivery, JobView, Logger, ShutdownEvents } from '../src/index.js';
import { loggerOf } from '../src/logger.js';
import { ownCode } from '../src/own-code.js';
import { REQUEST_TIMEOUT } from './answer.js';
import { Answering } from './answering.js';
import { type AnyServer, isHttp2 } from './any-server.js';
import { type Client, isHalfRead } from './client.js';
import { Clients } from './clients.js';
import { type DrainCounts, Tally } from './counts.js';
import { Eras } from './eras.js';
import { endEventStream, isSubscription } from './event-streams.js';
import { holdClose } from './hold-close.js';
import { interceptRequests } from './intercept.js';
import { OpenRequests } from './open-requests.js';
import type { DrainSettings } from './options.js';
import { ParkedRequests } from './parked.js';
import { closeConnectionAfter } from './pipeline.js';
import { Reception } from './reception.js';
import { watchSessions } from './sessions.js';
import type { RequestEnding, TrackedRequest } from './tracked-request.js';
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
  stage: Stage = 'serving';
  /** Upgraded connections were told to go: nobody upgrades any more. */
  leaving = false;
  /** Whether the drain phase had its time; not so in a quick shutdown. */
  drained = false;
  #acceptedBefore = 0;
  /** The listener and every connection are closed, those from before this was made included. */
  #serverClosed = false;
  /** Connections may exist that nobody told us of. */
  readonly #attachedLate: boolean;
  readonly #undo: (() => void)[] = [];
  #wake: (() => void) | undefined = undefined;
  /** Lets others close the server again. */
  #letGo: () => void = () => undefined;

  constructor(server: AnyServer, settings: DrainSettings) {
    const { config } = settings.bus;
    this.server = server;
    this.settings = settings;
    this.log = loggerOf(settings.bus);
    const eras = new Eras(config.clock, () => this.requests.settle());
    this.clients = new Clients(server, config.clock, eras, (client) => {
      this.requests.abandon(client);
      if (this.clients.size === 0) this.#wake?.();
    });
    // With `wait` a request gets the same answer whatever its jobs came to, a little earlier at best.
    const jobsMatter = settings.answer !== 'wait';
    this.requests = new OpenRequests((record, ending) => this.#ended(record, ending), jobsMatter);
    this.answering = new Answering(settings.answer, this.log);
    this.#attachedLate = server.listening;
    this.#undo.push(
      interceptRequests(server, new Reception(this)),
      watchSessions(server, this.clients),
      () => this.clients.dispose(),
      () => this.requests.dispose(),
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
    const accepted = this.stage === 'serving' ? 0 : this.clients.accepted - this.#acceptedBefore;
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
    this.leaving = true;
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
    for (const record of [...this.requests]) this.requests.end(record, record.endingOr('reset'));
    for (const client of [...this.clients]) {
      if (client.endedAt === undefined && isHalfRead(client)) this.tally.unseen('reset');
      this.clients.destroy(client);
    }
    if (this.#attachedLate && !isHttp2(this.server))
      HttpServer.prototype.closeAllConnections.call(this.server);
    this.#letGo();
  }

  dispose(): void {
    for (const undo of this.#undo.splice(0)) undo();
  }

  /** Time is up for a request of which only the beginning has come. */
  #refusePart(client: Client): void {
    if (client.handshaking) {
      this.tally.unseen('reset');
      this.clients.close(client);
      return;
    }
    this.tally.unseen('refused');
    this.clients.endWith(client, REQUEST_TIMEOUT);
  }

  #ended({ client, exchange }: TrackedRequest, ending: RequestEnding): void {
    this.clients.active(client);
    if (!client.session && !exchange.request.complete) this.#awaitBody(client, exchange.request);
    if (this.stage === 'serving') return;
    this.tally.ended(ending);
    if (this.requests.size === 0) this.#wake?.();
  }

  #awaitBody(client: Client, request: IncomingMessage): void {
    client.sending = true;
    request.once('end', () => {
      client.sending = false;
      this.clients.active(client);
    });
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
      if (record?.reported && this.stage === 'delivering') this.answering.answer(record);
    };
    const stopping = () => this.#stop();
    const phaseStarted = ({ phase }: ShutdownEvents['phase-started'][0]) => {
      if (phase === 'deliver') this.stage = 'delivering';
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
    requests.settle();
    this.stage = 'closing';
    this.#letGo = holdClose(this.server);
    this.stoppedAt = this.settings.bus.config.clock.now();
    this.#acceptedBefore = clients.accepted;
    tally.openAtStop = clients.size;
    tally.requestsAtStop = requests.size;
    tally.requests = requests.size;
    clients.beginEnding();
    for (const record of requests) if (!record.client.session) closeConnectionAfter(record);
    this.log.info(
      `http${this.label && ` ${this.label}`}: ${clients.size} clients connected, ${requests.size} requests open`,
    );
  }
}
