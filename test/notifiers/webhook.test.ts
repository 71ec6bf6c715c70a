import dns from 'node:dns';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import axios from 'axios';
import { Webhook } from 'standardwebhooks';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type WebhookNotifierOptions, webhookNotifier } from '../../notifiers/webhook.js';
import { isShutdownError } from '../../src/errors.js';
import type { Notifier, Receipt } from '../../src/notifier.js';
import { sampleEnvelope } from '../../src/testing/sample-envelopes.js';
import { selfSignedCertificate, startFarEnd } from '../far-ends/http-server.js';

const SECRET = 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function farEnd(...how: Parameters<typeof startFarEnd>) {
  const started = await startFarEnd(...how);
  cleanUps.push(started.close);
  return started;
}

function notifierFor(url: string, options: Partial<WebhookNotifierOptions> = {}): Notifier {
  const notifier = webhookNotifier({ url, ...options });
  cleanUps.push(() => notifier.close?.());
  return notifier;
}

type Done = (error: Error) => void;

function deferred<T>() {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

const samples = (count: number) => Array.from({ length: count }, () => sampleEnvelope());

function deliver(notifier: Notifier, batch = samples(1), signal = new AbortController().signal) {
  return notifier.deliver(batch, { signal, attempt: 1 });
}

/** The only receipt, with its error's text in place of its error. */
async function verdict(receipts: Promise<readonly Receipt[]>) {
  const [{ id: _id, ...receipt }, ...others] = (await receipts) as [Receipt];
  expect(others).toEqual([]);
  return 'error' in receipt ? { ...receipt, error: receipt.error.message } : receipt;
}

describe('what is posted', () => {
  it('is a CloudEvents batch', async () => {
    const { origin, requests } = await farEnd((response) => response.end());
    const batch = samples(3);
    const receipts = await deliver(notifierFor(`${origin}/jobs?team=7`), batch);

    expect(receipts).toEqual(batch.map(({ id }) => ({ id, status: 'delivered' })));
    expect(requests).toHaveLength(1);
    expect(requests[0]).toMatchObject({
      method: 'POST',
      path: '/jobs?team=7',
      headers: { 'content-type': 'application/cloudevents-batch+json' },
    });
    expect(JSON.parse(requests[0]?.body ?? '')).toEqual(batch);
  });

  it('is a batch too when there is one envelope to send', async () => {
    const { origin, requests } = await farEnd((response) => response.end());
    const batch = samples(1);
    await deliver(notifierFor(origin), batch);
    expect(JSON.parse(requests[0]?.body ?? '')).toEqual(batch);
  });

  it('is one CloudEvent with maxBatchSize 1', async () => {
    const { origin, requests } = await farEnd((response) => response.end());
    const batch = samples(1);
    await deliver(notifierFor(origin, { maxBatchSize: 1 }), batch);
    expect(requests[0]?.headers['content-type']).toBe('application/cloudevents+json');
    expect(JSON.parse(requests[0]?.body ?? '')).toEqual(batch[0]);
  });

  it.each([
    ['an object as JSON', { text: 'two jobs' }, 'application/json', '{"text":"two jobs"}'],
    ['a string as text', 'zwei Aufträge', 'text/plain; charset=utf-8', 'zwei Aufträge'],
  ])('is what body returns: %s', async (_what, made, contentType, text) => {
    const { origin, requests } = await farEnd((response) => response.end());
    const body = vi.fn(() => made);
    const batch = samples(2);
    await deliver(notifierFor(origin, { body }), batch);
    expect(body.mock.calls).toEqual([[batch]]);
    expect(requests[0]).toMatchObject({ body: text, headers: { 'content-type': contentType } });
  });

  it('has the headers asked for, also another content type', async () => {
    const { origin, requests } = await farEnd((response) => response.end());
    const headers = { 'Content-Type': 'application/x-ndjson', 'X-Team': 'render' };
    await deliver(notifierFor(origin, { headers, body: () => '{}\n' }));
    expect(requests[0]?.headers).toMatchObject({
      'content-type': 'application/x-ndjson',
      'x-team': 'render',
    });
  });

  it('has nothing in it that the application set on the shared axios', async () => {
    const { origin, requests } = await farEnd((response) => response.end());
    axios.defaults.headers.common['x-leak'] = 'yes';
    const interceptor = axios.interceptors.request.use(() => Promise.reject(new Error('intercepted')));
    cleanUps.push(() => {
      delete axios.defaults.headers.common['x-leak'];
      axios.interceptors.request.eject(interceptor);
    });
    expect(await verdict(deliver(notifierFor(origin)))).toEqual({ status: 'delivered' });
    expect(requests[0]?.headers).not.toHaveProperty('x-leak');
  });

  it('takes the proxy of the environment, which warmUp leaves alone', async () => {
    const proxy = await farEnd((response) => response.end());
    vi.stubEnv('http_proxy', proxy.origin);
    cleanUps.push(() => vi.unstubAllEnvs());
    const notifier = notifierFor('http://far.invalid/hook');
    await notifier.warmUp?.();
    expect(proxy.connections()).toBe(0);
    expect(await verdict(deliver(notifier))).toEqual({ status: 'delivered' });
    expect(proxy.requests[0]?.path).toBe('http://far.invalid/hook');
  });

  it('is nothing for an empty batch', async () => {
    const { origin, connections } = await farEnd((response) => response.end());
    expect(await deliver(notifierFor(origin), [])).toEqual([]);
    expect(connections()).toBe(0);
  });
});

describe('the signature', () => {
  it.each([SECRET, `whsec_${SECRET}`, ` whsec_${SECRET}\n`])(
    'is one standardwebhooks accepts: %j',
    async (secret) => {
      const { origin, requests } = await farEnd((response) => response.end());
      await deliver(notifierFor(origin, { secret }), [sampleEnvelope('日本語 \u2028 é'), sampleEnvelope()]);
      const { body = '', headers = {} } = requests[0] ?? {};
      const receiver = new Webhook(SECRET);
      expect(receiver.verify(body, headers as Record<string, string>)).toEqual(JSON.parse(body));
      expect(() => receiver.verify(`${body} `, headers as Record<string, string>)).toThrow(
        'No matching signature',
      );
    },
  );

  it('is left out without a secret; id and time are not', async () => {
    const { origin, requests } = await farEnd((response) => response.end());
    const [envelope = sampleEnvelope()] = samples(1);
    const before = Math.floor(Date.now() / 1000);
    await deliver(notifierFor(origin), [envelope]);
    const { headers = {} } = requests[0] ?? {};
    expect(headers).not.toHaveProperty('webhook-signature');
    expect(headers['webhook-id']).toBe(envelope.id);
    expect(Number(headers['webhook-timestamp'])).toBeGreaterThanOrEqual(before);
    expect(Number(headers['webhook-timestamp'])).toBeLessThanOrEqual(Date.now() / 1000);
  });

  it('has an id that stays the same for the same envelopes, and only for them', async () => {
    const { origin, requests } = await farEnd((response) => response.end());
    const notifier = notifierFor(origin);
    const [first, second] = [samples(2), samples(2)];
    for (const batch of [first, first, second, first.slice(1)]) await deliver(notifier, batch);
    const ids = requests.map(({ headers }) => headers['webhook-id']);
    expect(ids[0]).toBe(ids[1]);
    expect(new Set(ids).size).toBe(3);
  });

  it.each(['a b', 'line\nfeed', 'ü', 'full.stop', 'x'.repeat(5000)])(
    'has an id fit for a header for %j',
    async (id) => {
      const { origin, requests } = await farEnd((response) => response.end());
      const secret = SECRET;
      await deliver(notifierFor(origin, { secret }), [sampleEnvelope(null, id)]);
      const { body = '', headers = {} } = requests[0] ?? {};
      expect(headers['webhook-id']).toMatch(/^msg_[0-9a-f]{64}$/);
      expect(() => new Webhook(secret).verify(body, headers as Record<string, string>)).not.toThrow();
    },
  );
});

describe('what a status comes to', () => {
  it.each([200, 201, 202, 204, 299])('%i: delivered', async (status) => {
    const { origin } = await farEnd((response) => response.writeHead(status).end());
    expect(await verdict(deliver(notifierFor(origin)))).toEqual({ status: 'delivered' });
  });

  it.each([408, 425, 429, 500, 502, 503, 504, 599])('%i: retryable', async (status) => {
    const { origin } = await farEnd((response) => response.writeHead(status).end());
    const error = `${origin} answered ${status}`;
    expect(await verdict(deliver(notifierFor(origin)))).toEqual({ status: 'retryable', error });
  });

  it.each([400, 401, 403, 404, 405, 410, 413, 422])('%i: rejected', async (status) => {
    const { origin } = await farEnd((response) => response.writeHead(status).end());
    const error = `${origin} answered ${status}`;
    expect(await verdict(deliver(notifierFor(origin)))).toEqual({ status: 'rejected', error });
  });

  it.each([
    [400, true],
    [413, true],
    [422, true],
    [401, false],
    [404, false],
    [410, false],
  ])('%i on more than one envelope: rejected, divisible %s', async (status, divisible) => {
    const { origin } = await farEnd((response) => response.writeHead(status).end());
    const batch = samples(2);
    const receipts = await deliver(notifierFor(origin), batch);
    expect(receipts.map(({ id }) => id)).toEqual(batch.map(({ id }) => id));
    for (const receipt of receipts) {
      expect(receipt.status).toBe('rejected');
      expect('divisible' in receipt && receipt.divisible).toBe(divisible);
    }
  });

  it.each([301, 302, 303, 307, 308])('%i: rejected, and the redirect is not followed', async (status) => {
    const elsewhere = await farEnd((response) => response.end());
    const { origin } = await farEnd((response) =>
      response.writeHead(status, { location: elsewhere.origin }).end(),
    );
    const error = `${origin} answered ${status}; redirects are not followed, set url to the final address`;
    expect(await verdict(deliver(notifierFor(origin)))).toEqual({ status: 'rejected', error });
    expect(elsewhere.connections()).toBe(0);
  });

  it.each([
    ['in seconds', '120', 120_000],
    ['of nothing', '0', 0],
    ['of years, cut down to an hour', '99999999', 3_600_000],
    ['as a date, by the far end’s own clock', 'Fri, 02 Jan 2026 03:04:35 GMT', 30_000],
    ['as a date gone by', 'Thu, 01 Jan 2026 03:04:05 GMT', 0],
    ['that cannot be read', 'soon', undefined],
    ['that is negative', '-5', undefined],
  ])('Retry-After %s', async (_form, value, retryAfterMs) => {
    const headers = { 'retry-after': value, date: 'Fri, 02 Jan 2026 03:04:05 GMT' };
    const { origin } = await farEnd((response) => response.writeHead(429, headers).end());
    expect(await verdict(deliver(notifierFor(origin)))).toEqual({
      status: 'retryable',
      error: `${origin} answered 429`,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    });
  });

  it('Retry-After as a date from a far end that does not say what time it is', async () => {
    const { origin } = await farEnd((response) => {
      response.sendDate = false;
      response.writeHead(503, { 'retry-after': new Date(Date.now() + 60_000).toUTCString() }).end();
    });
    const { retryAfterMs = 0 } = (await verdict(deliver(notifierFor(origin)))) as { retryAfterMs?: number };
    expect(retryAfterMs).toBeGreaterThan(50_000);
    expect(retryAfterMs).toBeLessThanOrEqual(60_000);
  });
});

describe('a far end that does not answer', () => {
  it('resets: retryable', async () => {
    const { origin } = await farEnd((response) => response.socket?.resetAndDestroy());
    const error = `${origin} gave no answer: ECONNRESET`;
    expect(await verdict(deliver(notifierFor(origin)))).toEqual({ status: 'retryable', error });
  });

  it('has gone: retryable', async () => {
    const { origin, close } = await farEnd(() => {});
    await close();
    const error = `${origin} gave no answer: ECONNREFUSED`;
    expect(await verdict(deliver(notifierFor(origin)))).toEqual({ status: 'retryable', error });
  });

  it('has no address: retryable', async () => {
    const lookup = vi.spyOn(dns, 'lookup').mockImplementation(((
      _host: string,
      _options: object,
      done: Done,
    ) => {
      done(Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' }));
    }) as never);
    cleanUps.push(() => lookup.mockRestore());
    const error = 'http://far.invalid gave no answer: ENOTFOUND';
    expect(await verdict(deliver(notifierFor('http://far.invalid/')))).toEqual({
      status: 'retryable',
      error,
    });
  });

  it('hangs: retryable as soon as the signal aborts, and the connection is given up', async () => {
    const hung = deferred<net.Socket>();
    const { origin } = await farEnd((response) => hung.resolve(response.socket as net.Socket));
    const abort = new AbortController();
    const call = verdict(deliver(notifierFor(origin), samples(1), abort.signal));
    const socket = await hung.promise;
    const closed = once(socket, 'close');
    abort.abort();
    expect(await call).toEqual({ status: 'retryable', error: `${origin} gave no answer in time` });
    await closed;
  });

  it('drips its headers: retryable as soon as the signal aborts', async () => {
    const dripping = deferred<void>();
    const server = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nx-drip: 1\r\nx-', () => dripping.resolve()));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanUps.push(() => server.close());
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const abort = new AbortController();
    const call = verdict(deliver(notifierFor(origin), samples(1), abort.signal));
    await dripping.promise;
    abort.abort();
    expect(await call).toEqual({ status: 'retryable', error: `${origin} gave no answer in time` });
  });

  it('is not called at all when the signal has aborted before', async () => {
    const { origin, connections } = await farEnd((response) => response.end());
    const call = verdict(deliver(notifierFor(origin), samples(1), AbortSignal.abort()));
    expect(await call).toEqual({ status: 'retryable', error: `${origin} gave no answer in time` });
    expect(connections()).toBe(0);
  });
});

describe('sockets', () => {
  it('are used again: twenty calls, one connection, closed by close', async () => {
    const closed = deferred<void>();
    const { origin, connections, requests } = await farEnd((response) => {
      if (requests.length === 1) response.socket?.once('close', () => closed.resolve());
      response.end('{"ok":true}');
    });
    const notifier = notifierFor(origin);
    for (let call = 0; call < 20; call += 1) await deliver(notifier);
    expect(connections()).toBe(1);
    await notifier.close?.();
    await closed.promise;
  });

  it('with a body that never ends hold no call up, and are given up when there are too many', async () => {
    let open = 0;
    const { origin } = await farEnd((response) => {
      open += 1;
      response.socket?.once('close', () => {
        open -= 1;
      });
      response.writeHead(200).write('and so on');
    });
    const notifier = notifierFor(origin);
    for (let call = 0; call < 40; call += 1) {
      expect(await verdict(deliver(notifier))).toEqual({ status: 'delivered' });
    }
    await vi.waitFor(() => expect(open).toBe(16));
    await notifier.close?.();
    await vi.waitFor(() => expect(open).toBe(0));
  });

  it('with a huge body are given up instead of read to the end', async () => {
    const closed = deferred<number>();
    const { origin } = await farEnd((response) => {
      let written = 0;
      const more = () => {
        if (response.destroyed) return;
        written += 65_536;
        // By way of the loop: once the socket is gone, the callbacks come without it and would let nothing else happen.
        response.write(Buffer.alloc(65_536), () => setImmediate(more));
      };
      response.socket?.once('close', () => closed.resolve(written));
      response.on('error', () => {}).writeHead(200);
      more();
    });
    expect(await verdict(deliver(notifierFor(origin)))).toEqual({ status: 'delivered' });
    expect(await closed.promise).toBeLessThan(64 * 1024 * 1024);
  });

  it('that break after the status line change nothing any more', async () => {
    const { origin } = await farEnd((response) => {
      response
        .writeHead(200, { 'content-length': 100 })
        .write('half', () => response.socket?.resetAndDestroy());
    });
    const notifier = notifierFor(origin);
    expect(await verdict(deliver(notifier))).toEqual({ status: 'delivered' });
    expect(await verdict(deliver(notifier))).toEqual({ status: 'delivered' });
  });
});

describe('TLS', () => {
  it('with a certificate nobody trusts is retryable, and posts nothing', async () => {
    const { origin, requests } = await farEnd((response) => response.end(), selfSignedCertificate());
    const error = `${origin} gave no answer: DEPTH_ZERO_SELF_SIGNED_CERT; its certificate is not trusted here, see NODE_EXTRA_CA_CERTS`;
    const notifier = notifierFor(origin);
    expect(await verdict(deliver(notifier))).toEqual({ status: 'retryable', error });
    await expect(notifier.warmUp?.()).rejects.toThrow(error);
    expect(requests).toEqual([]);

    // The negative twin: trusted, the same certificate does.
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    cleanUps.push(() => vi.unstubAllEnvs());
    await notifier.warmUp?.();
    expect(await verdict(deliver(notifier))).toEqual({ status: 'delivered' });
    expect(requests).toHaveLength(1);
  });
});

describe('warmUp', () => {
  it('opens a connection, closes it, and asks for nothing', async () => {
    const { origin, connections, requests } = await farEnd((response) => response.end());
    await notifierFor(origin).warmUp?.();
    await vi.waitFor(() => expect(connections()).toBe(1));
    expect(requests).toEqual([]);
  });

  it('rejects when the far end is dead', async () => {
    const { origin, close } = await farEnd(() => {});
    await close();
    await expect(notifierFor(origin).warmUp?.()).rejects.toThrow(`${origin} gave no answer: ECONNREFUSED`);
  });
});

describe('a body function', () => {
  it.each<[string, () => unknown, string]>([
    ['throws', () => JSON.stringify({ n: 1n }), 'Do not know how to serialize a BigInt'],
    ['returns nothing', () => undefined, 'body(batch) returned nothing that JSON can hold'],
    ['is async', async () => ({}), 'body(batch) returned a promise; it must return the value itself'],
  ])(
    'that %s makes rejected receipts, divisible when one envelope of many may be why',
    async (_what, body, why) => {
      const { origin, connections } = await farEnd((response) => response.end());
      const notifier = notifierFor(origin, { body });
      const error = `the body for ${origin} could not be written: ${why}`;
      expect(await verdict(deliver(notifier))).toEqual({ status: 'rejected', error });
      for (const receipt of await deliver(notifier, samples(2)))
        expect(receipt).toMatchObject({ divisible: true });
      expect(connections()).toBe(0);
    },
  );
});

describe('options', () => {
  const url = 'https://user:pass-word@far.example/path-token';

  it.each<[string, Partial<WebhookNotifierOptions>]>([
    ['url must be an absolute address that begins with http:// or https://', { url: '' }],
    ['url must be an absolute address', { url: 'far.example/path-token' }],
    ['url must be an absolute address', { url: 'ftp://user:pass-word@far.example/path-token' }],
    ['url must be an absolute address', { url: 'https://user:pass-word@:99999/path-token' }],
    ['secret is not base64', { secret: 'pass-word!' }],
    ['secret is not base64', { secret: '' }],
    ['secret is not base64', { secret: 'whsec_' }],
    [
      'headers: "x-key" has a name or a value that HTTP does not allow',
      { headers: { 'x-key': 'pass-word\n' } },
    ],
    [
      'headers: "x key" has a name or a value that HTTP does not allow',
      { headers: { 'x key': 'pass-word' } },
    ],
    ['headers: Webhook-Id is written by the notifier', { headers: { 'Webhook-Id': 'pass-word' } }],
    ['maxBatchSize is 0; it must be a whole number from 1 up', { maxBatchSize: 0 }],
    ['maxBatchSize is 1.5; it must be a whole number', { maxBatchSize: 1.5 }],
    ['maxBatchBytes is 1023; it must be a whole number from 1024 up', { maxBatchBytes: 1023 }],
    ['maxConcurrency is NaN; it must be a whole number from 1 up', { maxConcurrency: Number.NaN }],
    ['name is empty', { name: '' }],
  ])('%s', (problem, options) => {
    const thrown = (() => {
      try {
        return webhookNotifier({ url, ...options });
      } catch (error) {
        return error;
      }
    })();
    expect(isShutdownError(thrown, 'INVALID_OPTION')).toBe(true);
    const { message, cause } = thrown as Error;
    expect(message).toContain(`webhookNotifier: ${problem}`);
    expect(message).not.toMatch(/pass-word|path-token|user/);
    expect(cause).toBeUndefined();
  });

  it('have the documented defaults', () => {
    const { name, maxBatchSize, maxBatchBytes, maxConcurrency } = notifierFor('http://127.0.0.1:9');
    expect({ name, maxBatchSize, maxBatchBytes, maxConcurrency }).toEqual({
      name: 'webhook',
      maxBatchSize: 500,
      maxBatchBytes: 524_288,
      maxConcurrency: 8,
    });
  });
});
