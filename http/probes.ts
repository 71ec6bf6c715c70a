import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { checkBus } from '../src/config/checks.js';
import { defaultBus, type ShutdownBus, ShutdownError } from '../src/index.js';
import { isSucceeded } from '../src/succession.js';
import { isHttp2Response } from './exchange.js';

/** Answers one request; a handler of node:http, node:http2, Express or anything that has Node's own request and response. */
export type ProbeListener = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void;

/**
 * The readiness probe for those who route themselves: 200 while the bus is ready, 503 and `Connection: close` from the trigger
 * on, as with `readinessPath`. While the job store fails, the 200 says `ok, degraded: …`. Whatever the method is. What the application answers with it counts as a request like any other, and is
 * refused like any other when the open requests are being answered; `readinessPath` is not.
 * @param bus its default is the default bus, which is made now if it was not.
 * @throws {ShutdownError} `INVALID_OPTION` for something that is no bus.
 */
export function readinessProbe(bus: ShutdownBus = defaultBus()): ProbeListener {
  const problem = checkBus(bus);
  if (problem !== undefined)
    throw new ShutdownError(
      'INVALID_OPTION',
      `readinessProbe: ${problem}; a route takes what it returns: readinessProbe()`,
    );
  return (_request, response) => answerProbe(response as ServerResponse, 'readiness', bus);
}

/** The liveness probe for those who route themselves: 200 as long as the process can answer, as with `livenessPath`. */
export function livenessProbe(): ProbeListener {
  return (_request, response) =>
    answerProbe(response as ServerResponse, 'liveness', { ready: true, degraded: false });
}

/** What a request asks for. */
export type Asked = Pick<IncomingMessage, 'method' | 'url'>;

/** What a probe asks about. */
export type Probe = 'readiness' | 'liveness';

/** Tells probes from requests: GET or HEAD on exactly one of these paths, with or without a query. */
export function probeOf(
  { method, url = '' }: Asked,
  readinessPath: string | undefined,
  livenessPath: string | undefined,
): Probe | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  if (readinessPath !== undefined && isPath(url, readinessPath)) return 'readiness';
  return livenessPath !== undefined && isPath(url, livenessPath) ? 'liveness' : undefined;
}

/**
 * Answers a probe: liveness always with 200, readiness with 503 once nothing new should come to this service; not while others serve in this
 * process's place. A service whose job store
 * fails goes on, and its readiness says so.
 */
export function answerProbe(
  response: ServerResponse,
  probe: Probe,
  { ready, degraded }: Pick<ShutdownBus, 'ready' | 'degraded'>,
): void {
  const good = ready || probe === 'liveness' || isSucceeded();
  const body = good ? (degraded ? DEGRADED : 'ok\n') : 'shutting down\n';
  if (!ready && !isHttp2Response(response)) response.setHeader('Connection', 'close');
  response.writeHead(good ? 200 : 503, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': body.length,
    'Cache-Control': 'no-store',
  });
  response.end(body);
}

const DEGRADED = 'ok, degraded: the job store failed, open jobs are held in memory only\n';

function isPath(url: string, path: string): boolean {
  return url.startsWith(path) && (url.length === path.length || url[path.length] === '?');
}
