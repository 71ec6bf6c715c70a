import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Queue, QueueEvents } from 'bullmq';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../far-ends/redis.js';
import { deadPort } from '../far-ends/silent-server.js';
import { envelopesIn } from './child.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const SECRET = `whsec_${Buffer.from('a secret of the test, 32 bytes.').toString('base64')}`;

interface Block {
  readonly language: string;
  readonly code: string;
}

const blocks: readonly Block[] = [...README.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(
  ([, language = '', code = '']) => ({ language, code }),
);
/** The programs by the file name in their first line. */
const programs = new Map(
  blocks
    .filter(({ language }) => language === 'js')
    .map(({ code }) => [/^\/\/ ([\w.-]+\.mjs)\n/.exec(code)?.[1] ?? `no file name: ${code}`, code]),
);

/** The output that the page shows for a program: the next block of text, if it comes before the next program. */
function shownOutput(name: string): string {
  const from = blocks.findIndex(({ code }) => code === programs.get(name));
  const next = blocks.slice(from + 1).find(({ language }) => language === 'text' || language === 'js');
  if (next?.language !== 'text') throw new Error(`the README shows no output of ${name}`);
  return next.code;
}

/** What differs from one run to the next. */
function normalised(output: string): string {
  return output
    .trimEnd()
    .replace(/\b[0-9a-f]{12}\b/g, '<instance>')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replace(/"(elapsedMs|pid|frame|row)":\d+/g, '"$1":0')
    .replace(/\bframe: \d+/g, 'frame: 0')
    .replace(/"host":"[^"]*"/g, '"host":""')
    .replace(/\d+ of (\d+) ms/g, 'some of $1 ms');
}

interface Run {
  readonly pid: number;
  output(): string;
  /** Resolves when the output contains that text. */
  line(text: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

let outer: string;
let folder: string;
const children = new Set<ChildProcess>();

beforeAll(() => {
  outer = mkdtempSync(join(tmpdir(), 'shutdown-bus-readme-'));
  folder = join(outer, 'service');
  mkdirSync(join(folder, 'node_modules'), { recursive: true });
  symlinkSync(ROOT, join(folder, 'node_modules', 'shutdown-bus'));
  symlinkSync(join(ROOT, 'node_modules'), join(outer, 'node_modules'));
  for (const [name, code] of programs) writeFileSync(join(folder, name), code);
});

afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});

afterAll(() => rmSync(outer, { recursive: true, force: true }));

/** Runs a program of the page: `streams` says whether its stderr is part of the output. */
function start(
  name: string,
  env: NodeJS.ProcessEnv = {},
  streams: 'stdout' | 'both' = 'stdout',
  through: readonly string[] = [],
): Run {
  // One pipe for both streams keeps their lines in the order of a terminal. After exec the shell is gone.
  const redirect = streams === 'both' ? '2>&1' : '2>/dev/null';
  const command = `exec "$0" --no-warnings --test-reporter=tap "$@" ${redirect}`;
  const child = spawn('sh', ['-c', command, process.execPath, ...through, join(folder, name)], {
    // Nothing of the shell these tests were started in: it may be a platform's.
    env: { PATH: process.env.PATH, METADATA_SERVER_DETECTION: 'none', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.add(child);
  let output = '';
  const watchers = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
    for (const look of watchers) look();
  });
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }));
  void ended.then(() => {
    for (const look of watchers) look();
  });
  return {
    pid: child.pid as number,
    output: () => output,
    ended,
    kill: (signal) => void child.kill(signal),
    line: (wanted) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (output.includes(wanted)) resolve();
          else if (child.exitCode !== null || child.signalCode !== null) {
            reject(new Error(`${name} ended before it said "${wanted}":\n${output}`));
          } else return;
          watchers.delete(look);
        };
        watchers.add(look);
        look();
      }),
  };
}

async function endOf(run: Run, code: number): Promise<string> {
  expect(await run.ended, run.output()).toEqual({ code, signal: null });
  return run.output();
}

const freePort = async () => String(await deadPort());

/** A request of which the server has said that it arrived, and its answer. */
async function ask(port: string, path: string) {
  const asked = request({ host: '127.0.0.1', port, path, headers: { expect: '100-continue' } });
  const answered = once(asked, 'response').then(async ([response]) => ({
    status: (response as IncomingMessage).statusCode,
    body: await text(response),
  }));
  asked.flushHeaders();
  await once(asked, 'continue');
  asked.end();
  return { answered };
}

const scenarios: Readonly<Record<string, (name: string) => Promise<void>>> = {
  async 'service.mjs'(name) {
    const run = start(name, { SHUTDOWN_SERVICE: 'films' }, 'both');
    await run.line('running');
    run.kill('SIGTERM');
    const output = await endOf(run, 0);
    expect(normalised(output)).toBe(normalised(shownOutput(name)));

    const shown = blocks.find(({ language, code }) => language === 'json' && code.includes('specversion'));
    const asOneLine = JSON.stringify(JSON.parse(shown?.code ?? ''));
    expect(normalised(asOneLine)).toBe(normalised(JSON.stringify(envelopesIn(output)[0])));
  },

  async 'receiver.mjs'(name) {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}/`;
    const receiver = start(name, { WEBHOOK_SECRET: SECRET, PORT: port });
    await receiver.line('waiting for reports');
    const service = start('service.mjs', { SHUTDOWN_WEBHOOK_URL: url, SHUTDOWN_WEBHOOK_SECRET: SECRET });
    await service.line('running');
    service.kill('SIGTERM');
    await endOf(service, 0);

    // The same report twice, and one that somebody else has signed.
    const data = { jobType: 'replay', payload: 1, outcome: 'interrupted', progress: null };
    const body = JSON.stringify([{ id: 'x/1', data }]);
    const post = (key: string) => {
      const now = new Date();
      const headers = {
        'webhook-id': 'x',
        'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
        'webhook-signature': new Webhook(key).sign('x', now, body),
      };
      return fetch(url, { method: 'POST', body, headers });
    };
    expect((await post(Buffer.from('somebody else').toString('base64'))).status).toBe(401);
    expect(receiver.output()).not.toContain('replay');
    expect([(await post(SECRET)).status, (await post(SECRET)).status]).toEqual([204, 204]);
    const replayed = receiver.output().match(/^replay 1 interrupted at null$/gm);
    expect(replayed).toHaveLength(1);

    const reported = receiver.output().replace(/^replay.*\n/gm, '');
    expect(normalised(reported)).toBe(normalised(shownOutput(name)));
  },

  async 'failover.mjs'(name) {
    const run = start(name, {
      SHUTDOWN_BUDGET_MS: '3000',
      PUBSUB_EMULATOR_HOST: '127.0.0.1:9',
      AWS_ENDPOINT_URL_SNS: 'http://127.0.0.1:9',
      AWS_ACCESS_KEY_ID: 'none',
      AWS_SECRET_ACCESS_KEY: 'none',
    });
    expect(normalised(await endOf(run, 0))).toBe(normalised(shownOutput(name)));
  },

  async 'collector-notifier.mjs'(name) {
    expect(await endOf(start(name, {}, 'both'), 0)).toBe('');
  },

  async 'collector-notifier.test.mjs'(name) {
    const output = await endOf(start(name), 0);
    expect(output).toMatch(/^# fail 0$/m);
    const passed = [...output.matchAll(/^ok \d+ - (N\d\d): /gm)].map(([, id]) => id);
    expect(passed).toEqual(Array.from({ length: 15 }, (_, n) => `N${String(n + 1).padStart(2, '0')}`));
  },

  async 'http-service.mjs'(name) {
    const port = await freePort();
    const run = start(name, { SHUTDOWN_BUDGET_MS: '3000', PORT: port });
    await run.line('listening');
    const probes = ['/ready', '/live'].map(
      async (path) => (await fetch(`http://127.0.0.1:${port}${path}`)).status,
    );
    expect(await Promise.all(probes)).toEqual([200, 200]);
    const [short, long] = await Promise.all([ask(port, '/'), ask(port, '/long')]);
    run.kill('SIGTERM');
    expect(await short.answered).toEqual({ status: 200, body: 'rendered\n' });
    expect(await long.answered).toEqual({ status: 202, body: 'not rendered, but on record\n' });
    const output = await endOf(run, 0);
    expect(envelopesIn(output)).toMatchObject([{ data: { payload: { url: '/long' } } }]);
    expect(output.trimEnd().split('\n').at(-1)).toBe('database closed');
  },

  async 'express-service.mjs'(name) {
    const port = await freePort();
    const run = start(name, { SHUTDOWN_BUDGET_MS: '3000', PORT: port });
    await run.line('listening');
    const answers = await Promise.all(
      ['/', '/ready'].map((path) => fetch(`http://127.0.0.1:${port}${path}`)),
    );
    expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual(['rendered\n', 'ok\n']);
    run.kill('SIGTERM');
    expect(await endOf(run, 0)).toBe('listening\n');
  },

  async 'fastify-service.mjs'(name) {
    const port = await freePort();
    const run = start(name, { SHUTDOWN_BUDGET_MS: '3000', PORT: port });
    await run.line('listening');
    const answers = await Promise.all(
      ['/', '/ready'].map((path) => fetch(`http://localhost:${port}${path}`)),
    );
    expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual(['rendered\n', 'ok\n']);
    run.kill('SIGTERM');
    expect(await endOf(run, 0)).toBe('listening\ndatabase closed\n');
  },

  async 'nest-service.mjs'(name) {
    const port = await freePort();
    const run = start(name, { PORT: port });
    await run.line('listening');
    expect((await fetch(`http://127.0.0.1:${port}/ready`)).status).toBe(200);
    run.kill('SIGTERM');
    expect(await endOf(run, 0)).toBe('listening\nSIGTERM: the pool is closed\n');
  },

  async 'film-worker.mjs'(name) {
    const redis = await startRedis();
    const queue = new Queue('films', { connection: redis.connection });
    const events = new QueueEvents('films', { connection: redis.connection });
    try {
      await events.waitUntilReady();
      const progress = new Promise((resolve) => events.once('progress', resolve));
      const job = await queue.add('encode', { film: 'Metropolis' });
      const run = start(name, { SHUTDOWN_BUDGET_MS: '2000', REDIS_URL: `redis://127.0.0.1:${redis.port}` });
      await progress;
      run.kill('SIGTERM');
      const [envelope] = envelopesIn(await endOf(run, 0));
      expect(envelope?.subject).toBe(`bull:films:${job.id}`);
      const left = await queue.getJob(String(job.id));
      expect(left).toMatchObject({ attemptsMade: 0, stalledCounter: 0 });
      expect(await left?.getState()).toBe('waiting');
    } finally {
      await events.close();
      await queue.close();
      await redis.stop();
    }
  },

  async 'reports.mjs'(name) {
    const run = start(name);
    await Promise.all([run.line('daemon runs'), run.line('deaf runs')]);
    run.kill('SIGTERM');
    // Two processes write the first two lines.
    const lines = (text: string) => text.trim().split('\n').sort();
    expect(lines(await endOf(run, 0))).toEqual(lines(shownOutput(name)));
  },

  async 'shop.mjs'(name) {
    const port = await freePort();
    const command = [join(ROOT, 'dist', 'cli', 'main.js'), 'run', '-w', '2', '--service', 'shop'];
    const run = start(name, { PORT: port, XDG_RUNTIME_DIR: outer }, 'both', command);
    await run.line('ready: 2 workers');
    const status = execFileSync(process.execPath, [join(ROOT, 'dist', 'cli', 'main.js'), 'ctl', 'status'], {
      env: { XDG_RUNTIME_DIR: outer },
      encoding: 'utf8',
    });
    // The same picture, with other numbers in it.
    const shape = (text: string) => text.replace(/[\d]+|\(.*?\)|,.*/g, '').replace(/[ ms]+/g, ' ');
    const shown = /^shop \(pid[\s\S]*?(?=\n```)/m.exec(README)?.[0] as string;
    expect(shape(status.trim())).toBe(shape(shown));
    const answer = await fetch(`http://127.0.0.1:${port}`).then((response) => response.text());
    expect(answer).toMatch(/^served by \d+\n$/);
    run.kill('SIGHUP');
    await run.line('restarted: 2 workers');
    run.kill('SIGTERM');
    await endOf(run, 0);
  },

  async 'supervisor.mjs'(name) {
    const run = start(name, { PORT: await freePort(), XDG_RUNTIME_DIR: outer });
    await run.line('2 workers are ready');
    run.kill('SIGHUP');
    await run.line('2 workers were replaced');
    run.kill('SIGTERM');
    await endOf(run, 0);
  },

  async 'scheduler.mjs'(name) {
    const env = { SHUTDOWN_STORE: `lmdb:${join(folder, 'owners')}` };
    const first = start(name, env);
    await first.line('scheduler runs');
    const second = start(name, env);
    // A look, at least.
    await sleep(2000);
    expect(second.output()).toBe('');
    first.kill('SIGTERM');
    await endOf(first, 0);
    await second.line('scheduler runs');
    expect(first.output() + second.output()).toBe(shownOutput(name));
    second.kill('SIGTERM');
    await endOf(second, 0);
  },

  async 'import-job.mjs'(name) {
    const run = start(name, { SHUTDOWN_BUDGET_MS: '2000' });
    await run.line('importing');
    run.kill('SIGTERM');
    expect(normalised(await endOf(run, 0))).toBe(normalised(shownOutput(name)));

    const interrupted = start(name, { SHUTDOWN_BUDGET_MS: '2000' });
    await interrupted.line('importing');
    interrupted.kill('SIGINT');
    expect(await endOf(interrupted, 0)).toContain('\nInterrupt: SIGINT received. Rolling back.\n');
  },

  async 'timeouts.mjs'(name) {
    expect(normalised(await endOf(start(name), 0))).toBe(normalised(shownOutput(name)));
  },

  async 'guard.mjs'(name) {
    const aborted = start(name);
    await aborted.line('in the section');
    aborted.kill('SIGABRT');
    expect(await endOf(aborted, 0)).toBe(shownOutput(name));

    const interrupted = start(name);
    await interrupted.line('in the section');
    interrupted.kill('SIGINT');
    expect(await endOf(interrupted, 0)).toContain('SIGINT received. 2: discarding it');
  },

  async 'handlers.test.mjs'(name) {
    const output = await endOf(start(name), 0);
    expect(output).toMatch(/^# pass 2$/m);
    expect(output).toMatch(/^# fail 0$/m);
  },

  async 'telemetry.mjs'(name) {
    const run = start(name, { SHUTDOWN_BUDGET_MS: '2000' });
    expect(normalised(await endOf(run, 1))).toBe(normalised(shownOutput(name)));
  },
};

describe('the README', () => {
  it.each(Object.keys(scenarios))('%s runs, and does what the page says', async (name) => {
    expect(programs.has(name)).toBe(true);
    await scenarios[name]?.(name);
  });

  it('has no program that is not run here', () => {
    const javascript = blocks.filter(({ language }) => language === 'js');
    expect([...programs.keys()].sort()).toEqual(Object.keys(scenarios).sort());
    expect(programs.size).toBe(javascript.length);
    // A program in another dress would be one that nobody runs.
    const languages = new Set(blocks.map(({ language }) => language));
    expect([...languages].sort()).toEqual(['', 'dockerfile', 'ini', 'js', 'json', 'sh', 'text']);
  });

  it('has only JSON that can be read', () => {
    const texts = blocks.filter(({ language }) => language === 'json').map(({ code }) => code);
    expect(texts.length).toBeGreaterThan(0);
    for (const json of texts) expect(() => JSON.parse(json), json).not.toThrow();
  });

  it('has pictures of 90 columns at most, in plain characters', () => {
    const lines = blocks.filter(({ language }) => language === '').flatMap(({ code }) => code.split('\n'));
    expect(lines.filter((line) => line.length > 90 || !/^[ -~]*$/.test(line))).toEqual([]);
  });

  it('links to files that are there', () => {
    const targets = [...README.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)].map(([, path]) => path as string);
    expect(targets.length).toBeGreaterThan(5);
    expect(targets.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});
