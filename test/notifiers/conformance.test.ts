import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, it } from 'vitest';
import { stdoutNotifier } from '../../notifiers/stdout.js';
import { webhookNotifier } from '../../notifiers/webhook.js';
import type { Envelope } from '../../src/envelope.js';
import type { Notifier } from '../../src/notifier.js';
import { memoryNotifier } from '../../src/testing/memory-notifier.js';
import { type NotifierHarness, notifierConformance } from '../../src/testing/notifier-conformance.js';
import { startFarEnd } from '../far-ends/http-server.js';

/** What the webhook's far end is told and its errors must not tell. */
const SECRETS = [
  'c2VjcmV0LXNlY3JldC1zZWNyZXQ=',
  'bearer-token',
  'pass-word',
  'path-token',
  'query-token',
] as const;
const cleanUps: (() => unknown)[] = [];
afterAll(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

describe.each([
  ['stdoutNotifier over a pipe to another process', stdoutHarness()],
  ['webhookNotifier, batches', await httpHarness((origin) => secretiveWebhook(origin))],
  ['webhookNotifier, one event a POST', await httpHarness((origin) => secretiveWebhook(origin, 1))],
  ['memoryNotifier', memoryHarness()],
  ['the example in notifiers/README.md', await httpHarness(await readmeNotifier())],
])('%s', (_name, harness) => {
  for (const { id, title, run } of notifierConformance(harness)) it(`${id}: ${title}`, run);
});

function memoryHarness(): NotifierHarness {
  let healthy: ReturnType<typeof memoryNotifier>[] = [];
  let calls = 0;
  return {
    healthy: async () => {
      const notifier = memoryNotifier();
      healthy.push(notifier);
      return notifier;
    },
    failing: async () =>
      memoryNotifier({
        answer: () => {
          calls += 1;
          return 'retryable';
        },
      }),
    hanging: async () => memoryNotifier({ answer: () => new Promise(() => {}) }),
    received: async () => {
      const envelopes = healthy.flatMap(({ received }) => received);
      healthy = [];
      return JSON.parse(JSON.stringify(envelopes));
    },
    failedCalls: () => calls,
  };
}

function secretiveWebhook(origin: string, maxBatchSize?: number): Notifier {
  const [secret, token, password, path, query] = SECRETS;
  return webhookNotifier({
    url: `${origin.replace('//', `//user:${password}@`)}/${path}?key=${query}`,
    secret,
    headers: { 'x-api-key': token },
    ...(maxBatchSize !== undefined && { maxBatchSize }),
  });
}

/** The example of notifiers/README.md, as it stands on the page. */
async function readmeNotifier(): Promise<(url: string) => Notifier> {
  const page = readFileSync(new URL('../../notifiers/README.md', import.meta.url), 'utf8');
  const [, code = ''] = /```ts\n(.*?collectorNotifier.*?)```/s.exec(page) ?? [];
  const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
  cleanUps.push(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'collector-notifier.ts');
  writeFileSync(file, code);
  return (await import(file)).collectorNotifier;
}

async function httpHarness(make: (origin: string) => Notifier): Promise<NotifierHarness> {
  let bodies: string[] = [];
  let tell = () => {};
  const working = await startFarEnd((response, { body }) => {
    bodies.push(body);
    response.end('{"ok":true}');
    tell();
  });
  const failing = await startFarEnd((response, { headers, path }) => {
    // As unhelpful as a far end can be: it shows everything it was told.
    response.writeHead(500, { 'x-echo': JSON.stringify(headers) }).end(`${path}${JSON.stringify(headers)}`);
  });
  const hanging = await startFarEnd(() => {});
  cleanUps.push(working.close, failing.close, hanging.close);

  const envelopes = () => bodies.flatMap((body) => JSON.parse(body) as Envelope[] | Envelope);
  return {
    healthy: async () => make(working.origin),
    failing: async () => make(failing.origin),
    hanging: async () => make(hanging.origin),
    failedCalls: () => failing.requests.length,
    secrets: SECRETS,
    async received(count) {
      await until(
        () => envelopes().length >= count,
        (told) => {
          tell = told;
        },
      );
      const taken = envelopes();
      bodies = [];
      return taken;
    },
  };
}

function stdoutHarness(): NotifierHarness {
  let lines: string[] = [];
  let tell = () => {};
  const child = (command: string) => {
    const process = spawn('sh', ['-c', command], { stdio: ['pipe', 'pipe', 'inherit'] });
    cleanUps.push(() => process.kill('SIGKILL'));
    return process;
  };
  return {
    async healthy() {
      const { stdin, stdout } = child('exec cat');
      let rest = '';
      stdout.setEncoding('utf8').on('data', (chunk: string) => {
        const parts = `${rest}${chunk}`.split('\n');
        rest = parts.pop() ?? '';
        lines.push(...parts);
        tell();
      });
      return stdoutNotifier({ stream: stdin });
    },
    async failing() {
      const reader = child('exec 0<&-; echo closed; exec sleep 60');
      await once(reader.stdout, 'data');
      return stdoutNotifier({ stream: reader.stdin });
    },
    async hanging() {
      const { stdin } = child('exec sleep 60');
      // More than any pipe holds: what is written after it waits for a reader that never reads.
      stdin.on('error', () => {}).write(Buffer.alloc(8 * 1024 * 1024));
      return stdoutNotifier({ stream: stdin });
    },
    async received(count) {
      await until(
        () => lines.length >= count,
        (told) => {
          tell = told;
        },
      );
      const taken = lines;
      lines = [];
      return taken.map((line) => JSON.parse(line));
    },
  };
}

/** Waits for `done`, looking again whenever told to, for at most 3 s. */
async function until(done: () => boolean, onTell: (told: () => void) => void): Promise<void> {
  const late = AbortSignal.timeout(3000);
  while (!done() && !late.aborted) {
    await new Promise<void>((resolve) => {
      onTell(resolve);
      late.addEventListener('abort', () => resolve(), { once: true });
    });
  }
}
