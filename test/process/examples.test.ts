import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ensureRedis } from '../far-ends/redis.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const examples = readdirSync(join(root, 'examples')).filter((file) => file.endsWith('.js'));

let folder: string;
let running: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-examples-'));
});

afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
  running = [];
  rmSync(folder, { recursive: true, force: true });
});

/** Runs an example until it says how to end it, and `also` something, sends that signal, and gives its exit code and what it printed. */
async function runExample(file: string, signal: NodeJS.Signals = 'SIGTERM', also = '') {
  const child = spawn(process.execPath, [join(root, 'examples', file)], {
    // Nothing of the shell these tests were started in; half a second for jobs, to save everybody's time.
    env: { SHUTDOWN_BUDGET_MS: '3000', TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.push(child);
  const lines: string[] = [];
  const words: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => words.push(line));
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const ready = new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      const invited = lines.some((one) => /kill -(?:TERM|9) \d+$/.test(one) && one.endsWith(` ${child.pid}`));
      if (invited && lines.some((one) => one.includes(also))) resolve();
    });
    closed.then(() => reject(new Error(`${file} ended before it was ready:\n${words.join('\n')}`)), reject);
  });
  await ready;
  const atSignal = lines.length;
  child.kill(signal);
  const [code] = await closed;
  return { code, before: lines.slice(0, atSignal), after: lines.slice(atSignal), words };
}

/** The lines that are envelopes, read. */
const envelopesIn = (lines: readonly string[]) =>
  lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));

describe('01-stdout.js', () => {
  test('lets the short job finish and prints the long one with its progress', async () => {
    const { code, after } = await runExample('01-stdout.js');
    expect(code).toBe(0);
    expect(after).toContain('the thumbnail is done');
    expect(after).toContain('the film is not done, somebody will hear of it');
    const [envelope, ...others] = envelopesIn(after);
    expect(others).toEqual([]);
    expect(envelope.data).toMatchObject({
      jobType: 'encode',
      payload: { film: 'Metropolis' },
      outcome: 'interrupted',
      reason: 'SIGTERM',
    });
    expect(envelope.data.progress.frame).toBeGreaterThan(0);
  });

  test('does the same after Ctrl-C', async () => {
    const { code, after } = await runExample('01-stdout.js', 'SIGINT');
    expect(code).toBe(0);
    expect(envelopesIn(after).map(({ data }) => data.reason)).toEqual(['SIGINT']);
  });
});

describe('02-webhook.js', () => {
  test('cleans up after the GracefulExit, and its receiver believes the signed report', async () => {
    const { code, after } = await runExample('02-webhook.js');
    expect(code).toBe(0);
    expect(after[0]).toBe('service: GracefulExit: SIGTERM received. Rolling back.');
    expect(after.at(-1)).toMatch(
      /^receiver: billing-run \{"month":"2025-11"\} stopped at \{ invoice: \d+ \}$/,
    );
  });

  test('is told of Ctrl-C by a plain Interrupt', async () => {
    const { code, after } = await runExample('02-webhook.js', 'SIGINT');
    expect(code).toBe(0);
    expect(after[0]).toBe('service: Interrupt: SIGINT received. Rolling back.');
  });
});

describe('03-priorities.js', () => {
  test('calls every handler in its order, also after one that fails and one that hangs', async () => {
    const { code, after } = await runExample('03-priorities.js');
    expect(after.slice(0, 7)).toEqual([
      '1 leave the load balancer',
      '2 stop the consumer (signal, time enough)',
      '3 mirror: fails',
      '3 archive: hangs',
      '4 flush the metrics',
      '5 together: close the database',
      '5 together: close the cache',
    ]);
    expect(code).toBe(1);
  });

  test('names the two bad ones in its report and in the log, with the line that subscribed them', async () => {
    const { after, words } = await runExample('03-priorities.js');
    expect(after.find((line) => line.includes('mirror '))).toMatch(/failed/);
    expect(after.find((line) => line.includes('archive '))).toMatch(/timed-out +\d{3} ms/);
    expect(words.join('\n')).toMatch(/handler "archive" \(subscribed at .*03-priorities\.js:\d+/);
  });
});

describe('04-http-server.js', () => {
  test('gives the short request its real answer and the long one the chosen one, after the report', async () => {
    const { code, after } = await runExample('04-http-server.js');
    expect(code).toBe(0);
    const [short, report, long] = after;
    expect(short).toBe('GET /short?ms=1000: 200 rendered');
    expect(JSON.parse(String(report)).data.payload).toEqual({ pathname: '/long' });
    expect(long).toBe('GET /long?ms=3600000: 200 not rendered, but on record: it will be');
  });
});

describe('05-own-notifier.js', () => {
  test('writes unfinished jobs to a file, and goes on with them at the next start', async () => {
    const first = await runExample('05-own-notifier.js');
    expect(first.code).toBe(0);
    const left = readFileSync(join(folder, 'shutdown-bus-unfinished.jsonl'), 'utf8').trim().split('\n');
    const files = left.map((line) => JSON.parse(line).data.progress.file);

    const second = await runExample('05-own-notifier.js');
    expect(second.code).toBe(0);
    expect(second.before.slice(0, 2)).toEqual([
      `going on with letters at file ${files[0]}`,
      `going on with photographs at file ${files[1]}`,
    ]);
  });
});

describe('06-fastify.js', () => {
  test('gives the short request its real answer, the long one the chosen one, and closes the database last', async () => {
    const { code, after } = await runExample('06-fastify.js');
    expect(code).toBe(0);
    const [short, report, ...last] = after;
    expect(short).toBe('GET /pages/500: 200 rendered');
    expect(JSON.parse(String(report)).data.payload).toEqual({ ms: '3600000' });
    expect(last.sort()).toEqual([
      'GET /pages/3600000: 202 not rendered, but on record: it will be',
      'database closed',
    ]);
  });
});

describe('07-express.js', () => {
  test('gives the short request its real answer, and the long one that of its answer function', async () => {
    const { code, after } = await runExample('07-express.js');
    expect(code).toBe(0);
    const [short, report, long] = after;
    expect(short).toBe('5 invoices: 200 {"count":5}');
    const { data } = JSON.parse(String(report));
    expect(data.payload).toEqual({ count: 36_000 });
    expect(data.progress.number).toBeGreaterThan(0);
    expect(long).toBe('36000 invoices: 202 invoices: the rest follows');
  });
});

describe('08-koa.js', () => {
  test('gives the short request its real answer and the long one the chosen one, after the report', async () => {
    const { code, after } = await runExample('08-koa.js');
    expect(code).toBe(0);
    const [short, report, long] = after;
    expect(short).toBe('GET /?rows=5: 200 5 rows');
    expect(JSON.parse(String(report)).data.payload).toEqual({ rows: 36_000 });
    expect(long).toBe('GET /?rows=36000: 202 not exported, but on record: it will be');
  });
});

describe('09-hono.js', () => {
  test('lets the stream come to its end, and answers the other request after its report', async () => {
    const { code, after } = await runExample('09-hono.js');
    expect(code).toBe(0);
    const [stream, report, other] = after.filter((line) => line !== 'the stream has begun');
    expect(stream).toBe('GET /tokens: 200 one two three');
    expect(JSON.parse(String(report)).data.payload).toEqual({ page: '7' });
    expect(other).toBe('GET /render?page=7: 202 not rendered, but on record: it will be');
  });
});

describe('10-nest.js', () => {
  test('answers the short request, reports the long one, and runs the hooks after that', async () => {
    const { code, after } = await runExample('10-nest.js');
    expect(code).toBe(0);
    const [short, report, ...rest] = after;
    expect(short).toBe('GET Faust: 200 Faust: rendered');
    expect(JSON.parse(String(report)).data).toMatchObject({
      jobType: 'page',
      payload: { film: 'Metropolis' },
    });
    expect(rest.map((line) => line.trim())).toEqual([
      'GET Metropolis: 503',
      'onModuleDestroy',
      'onApplicationShutdown: SIGTERM, the pool is closed',
    ]);
  });
});

describe('11-bullmq.js', () => {
  beforeAll(ensureRedis, 120_000);

  test('reports the job, gives it back, and another worker goes on with it in its first attempt', async () => {
    const { code, after } = await runExample('11-bullmq.js');
    expect(code).toBe(0);
    const [envelope, ...others] = envelopesIn(after);
    expect(others).toEqual([]);
    expect(envelope.data).toMatchObject({ jobType: 'encode', payload: { film: 'Metropolis' } });
    const { frame } = envelope.data.progress;
    expect(frame).toBeGreaterThan(0);
    expect(after.at(-1)).toBe(`another worker went on with Metropolis at { frame: ${frame} } in attempt 1`);
  });
});

describe('13-children.js', () => {
  test('one child saves its state, one is killed at its limit, and both have ended before the service', async () => {
    const { code, after } = await runExample('13-children.js', 'SIGTERM', 'mule runs');
    expect(code).toBe(0);
    expect(after).toContain('saver: state saved');
    const said = after.join('\n');
    expect(said).toMatch(/saver: \{ code: 0, signal: null, by: 'asked', tookMs: \d+ \}/);
    expect(said).toMatch(/mule: \{ code: null, signal: 'SIGKILL', by: 'killed', tookMs: \d+ \}/);
  });
});

describe('14-one-owner.js', () => {
  test('of two at once one polls, and when it has ended the other one does', async () => {
    const [killed, ended] = await Promise.all([
      runExample('14-one-owner.js', 'SIGKILL', 'polls: '),
      runExample('14-one-owner.js', 'SIGTERM', 'polls: '),
    ]);
    expect([killed.code, ended.code]).toEqual([null, 0]);
    expect(killed.before.at(-1)).toMatch(/^process \d+ polls: \d+$/);
    expect(ended.after.at(-1)).toMatch(/^process \d+ polls no more$/);
  });
});

describe('15-supervisor.js', () => {
  test('the job of a killed worker is reported, its place taken, and all are reloaded', async () => {
    const { code, before } = await runExample('15-supervisor.js', 'SIGTERM', 'supervising: 2 workers');
    expect(code).toBe(0);
    expect(envelopesIn(before)).toMatchObject([{ data: { jobType: 'order', outcome: 'lost' } }]);
    expect(before).toContain('still answered: true');
    expect(before).toContain('restarted: 2 workers');
  });
});

describe('all examples', () => {
  test('are the fifteen that are tested here', () => {
    expect(examples).toEqual([
      '01-stdout.js',
      '02-webhook.js',
      '03-priorities.js',
      '04-http-server.js',
      '05-own-notifier.js',
      '06-fastify.js',
      '07-express.js',
      '08-koa.js',
      '09-hono.js',
      '10-nest.js',
      '11-bullmq.js',
      '12-durable-store.js',
      '13-children.js',
      '14-one-owner.js',
      '15-supervisor.js',
    ]);
  });

  test.each(examples)('%s says what it shows and how to try it, on one page', (file) => {
    const text = readFileSync(join(root, 'examples', file), 'utf8');
    expect(text).toMatch(new RegExp(`^// @ts-check\n// Shows: [^]*\n// Try: {3}node examples/${file}`));
    expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(60);
  });

  test('have a line each in the README', () => {
    const readme = readFileSync(join(root, 'examples', 'README.md'), 'utf8');
    const named = [...readme.matchAll(/^- \[(.+)\]\(\1\): \S/gm)].map(([, file]) => file);
    expect(named).toEqual(examples);
  });

  test('use the package as its types allow it, and so does the demo', async () => {
    const tsc = join(root, 'node_modules', '.bin', 'tsc');
    const checked = promisify(execFile)(tsc, ['-p', join(root, 'examples')]);
    await expect(checked.catch(({ stdout }) => ({ stdout }))).resolves.toMatchObject({ stdout: '' });
  });
});

describe('12-durable-store.js', () => {
  test('a second start tells of the job that kill -9 cut off, with its last checkpoint', async () => {
    const first = await runExample('12-durable-store.js', 'SIGKILL');
    expect([first.code, envelopesIn(first.before)]).toEqual([null, []]);
    const second = await runExample('12-durable-store.js', 'SIGTERM', 'was lost');
    const [lost] = envelopesIn(second.before);
    expect(lost.data).toMatchObject({
      jobType: 'invoice',
      payload: { order: 4711, card: 'visa' },
      progress: { page: expect.any(Number) },
      outcome: 'lost',
    });
    expect(second.before.join('\n')).toMatch(/invoice was lost: process \d+ on .* ended without a word/);
    expect(envelopesIn(second.after)).toHaveLength(1);
  });
});
