import { createServer, type RequestListener } from 'node:http';
import { createServer as createHttp2Server, createSecureServer } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { AnyServer } from '../../http/any-server.js';
import { idleSockets } from '../../http/idle-sockets.js';
import { cert, key } from './certificate.js';
import { RawClient } from './raw-client.js';
import { until } from './service.js';

const undo: (() => void)[] = [];

afterEach(() => {
  for (const work of undo.splice(0)) work();
});

const answer: RequestListener = (_request, response) => void response.end('served');

/** A server, its connections, and a client that was served once. */
async function open(server: AnyServer, event: 'connection' | 'secureConnection') {
  const sockets: Socket[] = [];
  (server as ReturnType<typeof createServer>).on(event, (socket) => void sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const { port } = server.address() as AddressInfo;
  undo.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return async (request = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n') => {
    const client = new RawClient(port, { tls: event === 'secureConnection' });
    await client.connected;
    client.socket.write(request);
    await client.until('served');
    const socket = sockets.at(-1) as Socket;
    return { client, socket, sends: (bytes: string) => sendAll(client, socket, bytes) };
  };
}

async function sendAll(client: RawClient, socket: Socket, bytes: string): Promise<void> {
  const before = socket.bytesRead;
  client.socket.write(bytes);
  await until(() => socket.bytesRead === before + bytes.length);
}

const SERVERS = [
  ['plain', () => createServer(answer), 'connection'],
  ['TLS', () => createTlsServer({ key, cert }, answer), 'secureConnection'],
  [
    'HTTP/2 with HTTP/1 beside it',
    () => createSecureServer({ key, cert, allowHTTP1: true }, answer as never),
    'secureConnection',
  ],
] as const;

describe.each(SERVERS)('idle connections, %s', (_name, createIt, event) => {
  it('are those between two requests, not those of which half a request has come', async () => {
    const server = createIt();
    const connect = await open(server, event);
    const [idle, stray, half] = [await connect(), await connect(), await connect()];
    const body = await connect('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf');
    await stray.sends('\r\n');
    await half.sends('GET / HT');
    const states = { idle, stray, half, body };
    const found = idleSockets(server);
    const isIdle = Object.entries(states).map(([name, { socket }]) => [name, found?.has(socket)]);
    expect(Object.fromEntries(isIdle)).toEqual({ idle: true, stray: true, half: false, body: false });
    expect(Object.values(states).some(({ socket }) => socket.destroyed)).toBe(false);
  });
});

it('Node knows of none on a server that does not listen itself, and on one of HTTP/2 alone', async () => {
  expect(idleSockets(createServer(answer))).toBeUndefined();
  const http2 = createHttp2Server();
  await open(http2, 'connection');
  expect(idleSockets(http2)).toBeUndefined();
});
