import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { afterEach, describe, expect, it } from 'vitest';
import { envelopesIn, start, startAndKill } from './child.js';

const MANY = 100_000;
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function receiver(answer: (request: IncomingMessage, body: string, response: ServerResponse) => void) {
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    answer(request, body, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/jobs`;
}

describe('a hundred thousand open jobs', () => {
  it('reach a webhook in one shutdown within 10 s, each exactly once, signed', async () => {
    const pages = new Uint8Array(MANY + 1);
    const webhook = new Webhook(SECRET);
    let checked = 0;
    const url = await receiver((request, body, response) => {
      const batch = JSON.parse(body) as { data: { payload: { page: number } } }[];
      // The signature of every twentieth batch: this process must not be the slow one.
      if (checked++ % 20 === 0) webhook.verify(body, request.headers as Record<string, string>);
      for (const { data } of batch) pages[data.payload.page] = (pages[data.payload.page] as number) + 1;
      response.writeHead(204).end();
    });
    const { code, stderr, afterKillMs } = await startAndKill('many-jobs.js', 'SIGTERM', {
      args: [String(MANY)],
      // Receiver and sender share two cores with the test runner: a larger part of the same ten seconds.
      env: {
        K_SERVICE: 'orders',
        SHUTDOWN_RESERVE_MS: '5000',
        SHUTDOWN_WEBHOOK_URL: url,
        SHUTDOWN_WEBHOOK_SECRET: SECRET,
      },
    });
    expect(stderr.slice(0, 2000)).toContain(`notifier webhook: ${MANY} delivered, 0 rejected, 0 expired`);
    expect(pages.subarray(1).every((times) => times === 1)).toBe(true);
    expect(code).toBe(0);
    expect(afterKillMs).toBeLessThan(10_000);
    expect(stderr).toContain(`notifier webhook: ${MANY} delivered, 0 rejected, 0 expired`);
  });

  it('reach a slow reader of a pipe, every line, before the exit', async () => {
    const child = start('many-jobs.js', {
      args: [String(MANY)],
      ownStdout: true,
      env: { K_SERVICE: 'orders', SHUTDOWN_RESERVE_MS: '7000' },
    });
    await child.line('ready');
    child.kill('SIGTERM');
    // One chunk a turn of a timer: the pipe is full nearly all of the time.
    const chunks: Buffer[] = [];
    const stdout = child.process.stdout as NonNullable<typeof child.process.stdout>;
    stdout.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      stdout.pause();
      setTimeout(() => stdout.resume(), 1);
    });
    const { code } = await child.ended;
    const seen = new Set(envelopesIn(Buffer.concat(chunks).toString()).map(({ subject }) => subject));
    expect(seen.size).toBe(MANY);
    expect(code).toBe(0);
  });
});

describe('a far end that fails', () => {
  const shutdown = (url: string, more: NodeJS.ProcessEnv = {}) =>
    startAndKill('many-jobs.js', 'SIGTERM', {
      args: ['3'],
      env: { SHUTDOWN_BUDGET_MS: '1500', SHUTDOWN_RESERVE_MS: '900', SHUTDOWN_WEBHOOK_URL: url, ...more },
    });

  it('one that never answers ends as expired on time, jobs on stderr, secrets nowhere', async () => {
    const url = await receiver(() => {});
    const { code, stdout, stderr, afterKillMs } = await shutdown(
      url.replace('/jobs', '/jobs?token=hunter2'),
      {
        SHUTDOWN_WEBHOOK_SECRET: SECRET,
        SHUTDOWN_WEBHOOK_HEADERS: 'authorization=Bearer hunter3',
      },
    );
    expect(code).toBe(1);
    expect(afterKillMs).toBeLessThan(1750);
    expect(stderr).toContain('3 expired');
    expect(envelopesIn(stderr)).toHaveLength(3);
    expect(stdout + stderr).not.toMatch(/hunter2|hunter3|MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw/);
  });

  it('failover: the next notifier takes what the webhook did not', async () => {
    const url = await receiver((_request, _body, response) => void response.writeHead(410).end());
    const { code, stdout } = await shutdown(url, {
      SHUTDOWN_NOTIFIERS: 'webhook,stdout',
      SHUTDOWN_DELIVERY_MODE: 'failover',
    });
    expect(code).toBe(0);
    expect(envelopesIn(stdout)).toHaveLength(3);
  });

  it('one that comes back within the reserve gets its reports', async () => {
    let calls = 0;
    const url = await receiver(
      (_request, _body, response) => void response.writeHead((calls += 1) < 3 ? 503 : 200).end(),
    );
    const { code } = await shutdown(url);
    expect([code, calls]).toEqual([0, 3]);
  });
});
