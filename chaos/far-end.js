// @ts-check
import { once } from 'node:events';
import http from 'node:http';
import { json } from 'node:stream/consumers';

/** How a far end is down: nobody listens, everything is refused, nothing is answered. @typedef {'closed' | 'failing' | 'silent'} Outage */

/** @type {readonly Outage[]} */
export const OUTAGES = ['closed', 'failing', 'silent'];

/**
 * Takes reports by webhook, and knows who sent them: everybody has a path of their own. What it does not answer with 200 it
 * does not have.
 */
export class FarEnd {
  /** @type {Outage | undefined} */
  #outage;
  /** @type {Map<string, { isIt: (envelopes: any[]) => boolean, held: () => void }>} by sender */
  #held = new Map();
  #server;
  #onAccepted;
  #port = 0;

  /** @param {(sender: string, envelopes: any[]) => void} onAccepted */
  constructor(onAccepted) {
    this.#onAccepted = onAccepted;
    this.#server = http.createServer((request, response) => {
      this.#take(request, response).catch(() => response.destroy());
    });
    this.#server.keepAliveTimeout = 60_000;
  }

  async open() {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = /** @type {import('node:net').AddressInfo} */ (this.#server.address()).port;
  }

  /** @param {string} sender */
  urlFor(sender) {
    return `http://127.0.0.1:${this.#port}/${sender}`;
  }

  /** @param {Outage} outage */
  async down(outage) {
    this.#outage = outage;
    if (outage === 'closed') await this.close();
  }

  async up() {
    const outage = this.#outage;
    this.#outage = undefined;
    if (outage === 'closed') await this.open();
    // Whoever still waits for an answer asked a far end that is gone.
    this.#server.closeAllConnections();
  }

  async close() {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /**
   * Resolves when it has got a report of that kind from that sender. None of them is answered from then on.
   * @param {string} sender @param {(envelopes: any[]) => boolean} isIt
   * @returns {Promise<void>}
   */
  hold(sender, isIt) {
    return new Promise((resolve) => this.#held.set(sender, { isIt, held: resolve }));
  }

  /** @param {http.IncomingMessage} request @param {http.ServerResponse} response */
  async #take(request, response) {
    const sender = /** @type {string} */ (request.url).slice(1);
    const envelopes = /** @type {any[]} */ (await json(request));
    const hold = this.#held.get(sender);
    if (hold?.isIt(envelopes)) hold.held();
    else if (this.#outage === 'failing') response.writeHead(503).end();
    else if (this.#outage === undefined) {
      response.writeHead(200).end();
      this.#onAccepted(sender, envelopes);
    }
  }
}
