import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http, { type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A request as the far end got it. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A real server on 127.0.0.1 that remembers what it got. */
export interface HttpFarEnd {
  /** Without a path. */
  readonly origin: string;
  readonly requests: readonly SeenRequest[];
  /** Connections opened so far. */
  readonly connections: () => number;
  close(): Promise<void>;
}

type Answer = (response: ServerResponse, request: SeenRequest) => void;

/** Starts one; `answer` is called when a request has arrived whole. */
export async function startFarEnd(answer: Answer, tlsOptions?: https.ServerOptions): Promise<HttpFarEnd> {
  const requests: SeenRequest[] = [];
  let connections = 0;
  const server = (tlsOptions ? https.createServer(tlsOptions) : http.createServer()) as http.Server;
  server.on('connection', () => {
    connections += 1;
  });
  server.on('request', async (request, response) => {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return; // given up by the client on the way
    }
    const body = Buffer.concat(chunks).toString();
    const seen = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body };
    requests.push(seen);
    answer(response, seen);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `${tlsOptions ? 'https' : 'http'}://127.0.0.1:${port}`,
    requests,
    connections: () => connections,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A certificate for 127.0.0.1 that nobody trusts, made now. */
export function selfSignedCertificate(): { key: string; cert: string } {
  const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  try {
    const subject = [
      '-subj',
      '/CN=127.0.0.1',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
      '-days',
      '1',
      '-nodes',
    ];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
    execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', cert, ...subject], {
      stdio: 'ignore',
    });
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
