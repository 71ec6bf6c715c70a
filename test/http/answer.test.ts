import { createServer, type RequestListener } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { type Answer, problemOf, sendAnswer, TRY_AGAIN } from '../../http/answer.js';
import { RawClient } from './raw-client.js';
import { listen } from './service.js';

const servers: ReturnType<typeof createServer>[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function ask(listener: RequestListener, method = 'GET'): Promise<RawClient> {
  const server = createServer(listener);
  servers.push(server);
  const client = new RawClient(await listen(server));
  client.socket.write(`${method} / HTTP/1.1\r\nHost: x\r\n\r\n`);
  await client.closed;
  return client;
}

const answered = (answer: Answer) => ask((_request, response) => void sendAnswer(response, answer));

describe('sendAnswer', () => {
  it('A16: says 200 and OK FROM WORKER by default', async () => {
    const { text, body } = await answered({});
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(body).toBe('OK FROM WORKER');
  });

  it('A16: status, body and headers can be overridden', async () => {
    const { text, body } = await answered({
      status: 202,
      body: '{}',
      headers: { 'content-type': 'application/json', 'x-a': 'b' },
    });
    expect(text).toMatch(/^HTTP\/1\.1 202 Accepted\r\n/);
    expect(text).toContain('content-type: application/json\r\n');
    expect(text).toContain('x-a: b\r\n');
    expect(text).not.toContain('text/plain');
    expect(body).toBe('{}');
  });

  it('A18: Content-Length counts bytes of UTF-8, not characters', async () => {
    const { text, body } = await answered({ body: 'größer als gedacht ✓' });
    expect(text).toContain(`Content-Length: ${Buffer.byteLength('größer als gedacht ✓')}\r\n`);
    expect(text).toContain('charset=utf-8');
    expect(body).toBe('größer als gedacht ✓');
  });

  it('A18: the reason phrase is the standard one, whatever the body and the application say', async () => {
    const { text } = await ask((_request, response) => {
      response.statusMessage = 'Created by the application';
      sendAnswer(response, { status: 200, body: 'line one\r\nX-Injected: yes' });
    });
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text.split('\r\n\r\n')[0]).not.toContain('X-Injected');
  });

  it('A18: a status without a body gets none', async () => {
    const { text, body } = await answered({ status: 204 });
    expect(text).toMatch(/^HTTP\/1\.1 204 No Content\r\n/);
    expect(text).not.toContain('Content-Length');
    expect(body).toBe('');
  });

  it('A18: HEAD gets the head only', async () => {
    const { text, body } = await ask((_request, response) => void sendAnswer(response, {}), 'HEAD');
    expect(text).toContain('Content-Length: 14\r\n');
    expect(body).toBe('');
  });

  it('says when to come back with 503', async () => {
    const { text } = await answered(TRY_AGAIN);
    expect(text).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n/);
    expect(text).toContain('Retry-After: 1\r\n');
  });

  it('drops headers that described the unsent answer and keeps the others', async () => {
    const { text, body } = await ask((_request, response) => {
      response.setHeader('Content-Encoding', 'gzip');
      response.setHeader('Transfer-Encoding', 'chunked');
      response.setHeader('Content-Length', 5000);
      response.setHeader('ETag', '"x"');
      response.setHeader('Access-Control-Allow-Origin', '*');
      sendAnswer(response, {});
    });
    expect(text).not.toMatch(/gzip|chunked|5000|etag/i);
    expect(text).toContain('Access-Control-Allow-Origin: *\r\n');
    expect(body).toBe('OK FROM WORKER');
  });

  it('A29: never a second status line: what the application has begun stays its own', async () => {
    let sent: boolean | undefined;
    const { text, statuses } = await ask((_request, response) => {
      response.writeHead(200, { Connection: 'close' });
      response.write('the first half, ');
      sent = sendAnswer(response, { status: 503 });
      response.end('the second half');
    });
    expect(sent).toBe(false);
    expect(statuses).toEqual([200]);
    expect(text).toContain('the second half');
  });

  it('A29: what the application writes afterwards is dropped without an error', async () => {
    const failures: unknown[] = [];
    const { statuses, body } = await ask((_request, response) => {
      response.on('error', (error) => failures.push(error));
      sendAnswer(response, { body: 'ours' });
      try {
        response.setHeader('x', 'y');
        response.writeHead(200).write('theirs');
        response.end('theirs', () => failures.push('the callback was called'));
      } catch (error) {
        failures.push(error);
      }
    });
    expect(statuses).toEqual([200]);
    expect(body).toBe('ours');
    expect(failures).toEqual(['the callback was called']);
  });

  it('throws for a header that is not legal and has sent nothing then', async () => {
    let failure: unknown;
    const { statuses } = await ask((_request, response) => {
      try {
        sendAnswer(response, { headers: { 'bad name': 'x' } });
      } catch (error) {
        failure = error;
        sendAnswer(response, TRY_AGAIN);
      }
    });
    expect((failure as NodeJS.ErrnoException).code).toBe('ERR_INVALID_HTTP_TOKEN');
    expect(statuses).toEqual([503]);
  });
});

describe('problemOf', () => {
  it.each([[{}], [{ status: 599, body: '', headers: {} }]])('takes %j', (answer) => {
    expect(problemOf(answer)).toBeUndefined();
  });

  it.each([
    [undefined, 'allowed: {'],
    ['text', 'allowed: {'],
    [{ status: 199 }, 'status'],
    [{ status: 600 }, 'status'],
    [{ status: 200.5 }, 'status'],
    [{ body: 5 }, 'body'],
    [{ headers: 'x' }, 'headers'],
  ])('refuses %j', (answer, words) => {
    expect(problemOf(answer)).toContain(words);
  });
});
