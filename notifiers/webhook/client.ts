import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import tls from 'node:tls';
import { Axios } from 'axios';
import { failed, unreachable } from './verdict.js';

const WARM_UP_MS = 10_000;
/** A response body up to this size is read to its end, to use the socket again; a longer one costs the socket. */
const MOST_DRAINED_BYTES = 64 * 1024;
const MOST_DRAINING = 16;

/** Its own instance with its own defaults: what an application sets on the shared `axios` must not travel along. */
export function createClient(): { axios: Axios; close(): void } {
  const agents = [new http.Agent({ keepAlive: true }), new https.Agent({ keepAlive: true })] as const;
  const axios = new Axios({
    adapter: 'http',
    httpAgent: agents[0],
    httpsAgent: agents[1],
    headers: { accept: '*/*', 'user-agent': 'shutdown-bus' },
    maxRedirects: 0,
    maxBodyLength: Number.POSITIVE_INFINITY,
    decompress: false,
    responseType: 'stream',
    transformRequest: [],
    transformResponse: [],
    validateStatus: () => true,
  });
  return { axios, close: () => agents.forEach((agent) => void agent.destroy()) };
}

/**
 * Reads a response's body away, without waiting for more of it than came with the headers. What drips on does so on
 * a socket that keeps no process alive, a long one loses its socket, and of too many at once the oldest does.
 */
export function createDrain(): (body: IncomingMessage) => Promise<void> {
  const draining = new Set<IncomingMessage>();
  return async (body) => {
    let bytes = 0;
    draining.add(body);
    body.once('close', () => draining.delete(body));
    body.on('error', () => {});
    body.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MOST_DRAINED_BYTES) body.destroy();
    });
    body.socket.unref();
    const [oldest] = draining;
    if (draining.size > MOST_DRAINING) oldest?.destroy();
    // A turn is enough for a body that is here already: its socket is free again before the next call asks for one.
    await nextTurn();
  };
}

/** Resolves the name, opens a connection and closes it again, so that a dead far end shows at start. */
export function connectOnce(url: URL): Promise<void> {
  if (behindProxy(url)) return Promise.resolve();
  const secure = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = Number(url.port) || (secure ? 443 : 80);
  return new Promise((resolve, reject) => {
    const socket = secure
      ? tls.connect({ host, port, ...(net.isIP(host) === 0 && { servername: host }) })
      : net.connect({ host, port });
    const settle = (error?: Error) => {
      socket.destroy();
      if (error) reject(error);
      else resolve();
    };
    socket.setTimeout(WARM_UP_MS, () =>
      settle(failed(`${url.origin} took no connection in ${WARM_UP_MS} ms`)),
    );
    socket.once(secure ? 'secureConnect' : 'connect', () => settle());
    socket.on('error', (error) => settle(unreachable(url, error)));
  });
}

/** Whether requests may take a proxy, by the variables axios reads too: the far end itself need not be in reach then. */
function behindProxy({ protocol }: URL): boolean {
  const { env } = process;
  return [`${protocol.slice(0, -1)}_proxy`, 'all_proxy'].some((name) => env[name] || env[name.toUpperCase()]);
}
