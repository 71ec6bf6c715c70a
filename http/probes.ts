import type { IncomingMessage, ServerResponse } from 'node:http';
import { isHttp2Response } from './exchange.js';

/** What a request asks for. */
export type Asked = Pick<IncomingMessage, 'method' | 'url'>;

/** What a request is to us. */
export type Probe = 'readiness' | 'liveness' | undefined;

/** Tells probes from requests: GET or HEAD on exactly one of these paths, with or without a query. */
export function probeOf(
  { method, url = '' }: Asked,
  readinessPath: string | undefined,
  livenessPath: string | undefined,
): Probe {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  if (readinessPath !== undefined && isPath(url, readinessPath)) return 'readiness';
  return livenessPath !== undefined && isPath(url, livenessPath) ? 'liveness' : undefined;
}

/** Answers a probe: liveness always with 200, readiness with 503 once nothing new should come. */
export function answerProbe(response: ServerResponse, probe: Probe, ready: boolean): void {
  const good = ready || probe === 'liveness';
  const body = good ? 'ok\n' : 'shutting down\n';
  if (!ready && !isHttp2Response(response)) response.setHeader('Connection', 'close');
  response.writeHead(good ? 200 : 503, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': body.length,
    'Cache-Control': 'no-store',
  });
  response.end(body);
}

function isPath(url: string, path: string): boolean {
  return url.startsWith(path) && (url.length === path.length || url[path.length] === '?');
}
