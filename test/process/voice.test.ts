import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { TURN, WORD } from '../../src/watchdog/shared-memory.js';
import { type HttpFarEnd, startFarEnd } from '../far-ends/http-server.js';
import { deadPort, startSilentServer } from '../far-ends/silent-server.js';
import { type Child, type Ending, envelopesIn, start, startAndKill } from './child.js';
import { runs } from './runs.js';
import { all, sorted } from './subjects.js';

const ROOT = join(import.meta.dirname, '../..');
const BUDGET_MS = 4000;
/** So much that a machine that has other things to do as well has time to start a thread. */
const RESERVE_MS = 2400;
/** The rest is the release phase's. */
const REPORTED_BY_MS = BUDGET_MS - 400;
/** deadline.test.ts asserts how punctual it is. */
const LATE_MS = BUDGET_MS + 1000;
/** The later deadline of two buses. */
const LATER_MS = 5000;
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

interface Settings {
  readonly jobs?: number;
  readonly payloadBytes?: number;
  readonly phase?: string;
  /** How it blocks: for good, until something comes over stdin, or for so many milliseconds, and then it is gone. */
  readonly how?: 'busy' | 'wait' | 'stdin' | number;
  /** Blocks when a message came over IPC. */
  readonly after?: 'message';
  /** Free again, its jobs have come further, or to their end. */
  readonly checkpoints?: true;
  readonly finishes?: true;
  /** Free again, and another message later, it ends the process. */
  readonly exits?: true;
  readonly watchdog?: false;
  readonly objects?: true;
}

const options = (settings: Settings, env: NodeJS.ProcessEnv = {}) => ({
  args: [JSON.stringify(settings)],
  env: {
    SHUTDOWN_BUDGET_MS: String(BUDGET_MS),
    SHUTDOWN_RESERVE_MS: String(RESERVE_MS),
    SHUTDOWN_SERVICE: 'voice',
    ...env,
  },
});

type Answer = (response: ServerResponse, position: number, subjects: readonly string[]) => void;

/** A receiver, and what it took: the subjects of requests that it answered with success. */
async function receiver(answer: Answer = (response) => void response.writeHead(204).end()) {
  const taken: string[] = [];
  const seenAt: number[] = [];
  let position = 0;
  const farEnd: HttpFarEnd = await startFarEnd((response, { body }) => {
    position += 1;
    seenAt.push(performance.now());
    response.on('finish', () => {
      if (response.statusCode < 300) taken.push(...subjectsIn(body));
    });
    answer(response, position, subjectsIn(body));
  });
  closers.push(() => farEnd.close());
  return { farEnd, taken, seenAt, env: { SHUTDOWN_WEBHOOK_URL: `${farEnd.origin}/jobs?token=hunter2` } };
}

const subjectsIn = (body: string) =>
  (JSON.parse(body) as { subject: string }[]).map(({ subject }) => subject);
const subjectsOf = (text: string) => sorted(envelopesIn(text).map(({ subject }) => subject));

/** The process was ended at its deadline, by the thread. */
function expectEndByThread({ signal, afterKillMs }: Ending): void {
  expect(signal).toBe('SIGKILL');
  expect(afterKillMs).toBeLessThan(LATE_MS);
}

/** The process ended by itself, with all jobs delivered, and its own books say so. */
function expectOwnEnd({ code, stderr }: Ending, jobs: number): void {
  expect(stderr).toContain(`notifier webhook: ${jobs} delivered, 0 rejected, 0 expired`);
  expect(stderr).toContain(`${jobs} incomplete, ${jobs} delivered, exit code 0`);
  expect(stderr).toContain(`${jobs} deliveries`);
  expect(envelopesIn(stderr)).toEqual([]);
  expect(code).toBe(0);
}

const BLOCKED =
  /the event loop was blocked since \d{4}-[\d-]+T[\d:.]+Z, in handler "blocker" \(subscribed at \S+blocked\.js:\d+:\d+\)/;

describe('a handler that blocks the event loop for good', () => {
  it.each([
    ['busy', 'intake'],
    ['busy', 'drain'],
    ['busy', 'deliver'],
    ['wait', 'intake'],
    ['wait', 'drain'],
    ['wait', 'deliver'],
  ] as const)(
    '%s, in phase %s: a thread has the jobs delivered within the reserve, each once',
    async (how, phase) => {
      const { taken, seenAt, env } = await receiver();
      const child = start('blocked.js', options({ how, phase }, env));
      await child.line('ready');
      const killedAt = performance.now();
      child.kill('SIGTERM');
      const ending = await child.ended;
      expectEndByThread(ending);
      expect(taken).toEqual(all(3));
      expect((seenAt[0] as number) - killedAt).toBeLessThan(REPORTED_BY_MS);
      expect(envelopesIn(ending.stdout + ending.stderr)).toEqual([]);
      expect(ending.stderr).toMatch(
        /the watchdog thread delivered 3 of 3 open jobs, because the event loop was blocked/,
      );
      expect(ending.stderr).toMatch(BLOCKED);
      expect(ending.stderr).toContain('ending the process, 0 open jobs follow');
      expect(ending.stdout + ending.stderr).not.toContain('hunter2');
    },
  );

  it('in phase release: the main thread has delivered before, and nobody delivers again', async () => {
    const { taken, farEnd, env } = await receiver();
    const ending = await startAndKill('blocked.js', 'SIGTERM', options({ phase: 'release' }, env));
    expectEndByThread(ending);
    expect([taken, farEnd.requests.length]).toEqual([all(3), 1]);
    expect(ending.stderr).not.toContain('the watchdog thread delivered');
    expect(ending.stderr).toMatch(BLOCKED);
    expect(envelopesIn(ending.stderr)).toEqual([]);
  });

  it('negative twin: with notifiers given as objects nobody hears of it, and every job is on stderr', async () => {
    const { farEnd, env } = await receiver();
    const objects = { OBJECT_URL: env.SHUTDOWN_WEBHOOK_URL };
    const ending = await startAndKill('blocked.js', 'SIGTERM', options({ objects: true }, objects));
    expectEndByThread(ending);
    expect(farEnd.requests).toEqual([]);
    expect(subjectsOf(ending.stderr)).toEqual(all(3));
    expect(ending.stderr).toMatch(BLOCKED);
  });

  it('negative twin: without the watchdog nobody hears of it, also long after the deadline', async () => {
    const { farEnd, env } = await receiver();
    const settings = { watchdog: false, how: BUDGET_MS + 1000 } as const;
    const { afterKillMs } = await startAndKill('blocked.js', 'SIGTERM', options(settings, env));
    expect(afterKillMs).toBeGreaterThan(BUDGET_MS + 500);
    expect(farEnd.requests).toEqual([]);
  });
});

describe('what the thread cannot deliver is on stderr, at the deadline', () => {
  const blocked = (env: NodeJS.ProcessEnv) => startAndKill('blocked.js', 'SIGTERM', options({}, env));

  it('a far end that is down', async () => {
    const url = `http://127.0.0.1:${await deadPort()}/jobs?token=hunter2`;
    const ending = await blocked({ SHUTDOWN_WEBHOOK_URL: url });
    expectEndByThread(ending);
    expect(subjectsOf(ending.stderr)).toEqual(all(3));
    expect(ending.stderr).toContain('the watchdog thread delivered 0 of 3 open jobs');
    expect(ending.stderr).toMatch(
      /notifier webhook failed in the watchdog thread, attempt 1: .*ECONNREFUSED/,
    );
    expect(ending.stderr).not.toContain('hunter2');
  });

  it('a far end that never answers', async () => {
    const silent = await startSilentServer();
    closers.push(() => silent.stop());
    const ending = await blocked({ SHUTDOWN_WEBHOOK_URL: `http://127.0.0.1:${silent.port}/` });
    expectEndByThread(ending);
    expect(subjectsOf(ending.stderr)).toEqual(all(3));
  });

  it('a far end that takes only some', async () => {
    const { taken, env } = await receiver(
      (response, _position, subjects) => void response.writeHead(subjects.includes('r1') ? 204 : 410).end(),
    );
    const ending = await startAndKill('blocked.js', 'SIGTERM', options({ jobs: 1200 }, env));
    expectEndByThread(ending);
    expect(taken).toHaveLength(500);
    expect(sorted([...taken, ...subjectsOf(ending.stderr)])).toEqual(all(1200));
    expect(ending.stderr).toContain('the watchdog thread delivered 500 of 1200 open jobs');
    expect(ending.stderr).toContain('ending the process, 700 open jobs follow');
  });

  it('a far end that comes back within the reserve gets them', async () => {
    const { taken, env } = await receiver(
      (response, position) => void response.writeHead(position < 3 ? 503 : 204).end(),
    );
    const ending = await blocked(env);
    expect(taken).toEqual(all(3));
    expect(envelopesIn(ending.stderr)).toEqual([]);
  });

  it('a far end that is slow gets them all the same', async () => {
    const { taken, env } = await receiver(
      (response) => void setTimeout(() => response.writeHead(204).end(), 400),
    );
    const ending = await startAndKill('blocked.js', 'SIGTERM', options({ jobs: 1200 }, env));
    expect(sorted(taken)).toEqual(all(1200));
    expect(envelopesIn(ending.stderr)).toEqual([]);
  });

  it('failover: the next notifier takes what the first did not', async () => {
    const { env } = await receiver((response) => void response.writeHead(410).end());
    const ending = await blocked({
      ...env,
      SHUTDOWN_NOTIFIERS: 'webhook,stdout',
      SHUTDOWN_DELIVERY_MODE: 'failover',
    });
    expectEndByThread(ending);
    expect(subjectsOf(ending.stdout)).toEqual(all(3));
    expect(envelopesIn(ending.stderr)).toEqual([]);
  });
});

describe('an event loop that is free again', () => {
  const RUNS = runs(20);

  async function begin(settings: Settings, env: NodeJS.ProcessEnv): Promise<Child> {
    const child = start('blocked.js', { ...options({ how: 'stdin', ...settings }, env), ipc: true });
    await child.line('ready');
    child.kill('SIGTERM');
    return child;
  }

  const until = (holds: () => boolean) => expect.poll(holds, { interval: 10, timeout: 10_000 }).toBe(true);
  const free = (child: Child) => child.process.stdin?.write('.');

  it(`before reports are due, with the thread ready: it delivers by itself, each job once, ${RUNS} runs`, async () => {
    for (let run = 0; run < RUNS; run += 1) {
      const { taken, farEnd, env } = await receiver();
      // A late hour, so that there is time between the start of the thread and its turn.
      const late = { SHUTDOWN_RESERVE_MS: '800' };
      const child = start('blocked.js', options({ how: 'stdin' }, { ...env, ...late }));
      // The notifiers of the main thread and of the other one look for the far end once each.
      await until(() => farEnd.connections() === 1);
      child.kill('SIGTERM');
      await until(() => farEnd.connections() === 2);
      free(child);
      const ending = await child.ended;
      expect([taken, farEnd.requests.length]).toEqual([all(3), 1]);
      expect(ending.stderr).not.toContain('the watchdog thread');
      expectOwnEnd(ending, 3);
    }
  }, 200_000);

  /** Frees the event loop when the thread has sent its reports. They are answered when it is free, if ever. */
  async function freeInBetween(settings: Settings, answered: boolean) {
    let child: Child | undefined;
    const { taken, farEnd, env } = await receiver((response) => {
      if (child) free(child);
      if (answered) void child?.line('free').then(() => response.writeHead(204).end());
    });
    child = await begin(settings, env);
    return { ending: await child.ended, taken, requests: farEnd.requests.length };
  }

  it.each([
    ['', {}],
    [', when they come further meanwhile', { checkpoints: true }],
  ] as const)(
    `while the thread delivers: it waits, counts what was delivered, each job once%s, ${RUNS} runs`,
    async (_name, settings) => {
      for (let run = 0; run < RUNS; run += 1) {
        const { ending, taken, requests } = await freeInBetween(settings, true);
        expect([taken, requests]).toEqual([all(3), 1]);
        expect(ending.stderr).toContain('the watchdog thread delivered 3 of 3 open jobs');
        expectOwnEnd(ending, 3);
      }
    },
    200_000,
  );

  it('while the thread delivers, and its jobs finish: it waits for nobody', async () => {
    const { code, stderr } = (await freeInBetween({ finishes: true }, false)).ending;
    expect(stderr).toContain('3 jobs finished, 0 incomplete, 0 delivered, exit code 0');
    expect(code).toBe(0);
  });

  it('after the thread has delivered: it counts them, and delivers none again', async () => {
    const { taken, farEnd, env } = await receiver();
    const child = await begin({ jobs: 600 }, env);
    await until(() => taken.length === 600);
    free(child);
    expectOwnEnd(await child.ended, 600);
    expect([sorted(taken), farEnd.requests.length]).toEqual([all(600), 2]);
  });

  it('after two notifiers of the thread have delivered: both are in its report, and it delivers none again', async () => {
    const { taken, farEnd, env } = await receiver();
    const child = await begin({}, { ...env, SHUTDOWN_NOTIFIERS: 'stdout,webhook' });
    await until(() => taken.length === 3);
    free(child);
    const ending = await child.ended;
    expect([subjectsOf(ending.stdout), farEnd.requests.length]).toEqual([all(3), 1]);
    expect(ending.stderr).toContain('notifier stdout: 3 delivered, 0 rejected, 0 expired');
    expectOwnEnd(ending, 3);
  });

  it('and leaves by process.exit(): what the thread has delivered is not on stderr', async () => {
    const { taken, env } = await receiver();
    const child = await begin({ exits: true }, env);
    await until(() => taken.length === 3);
    free(child);
    await child.line('the watchdog thread delivered 3 of 3 open jobs');
    child.process.send('exit');
    const { stderr } = await child.ended;
    expect(envelopesIn(stderr)).toEqual([]);
  });

  it('while the thread gets no answer: it waits for the next attempt of the thread, each job once', async () => {
    const held: ServerResponse[] = [];
    let child: Child | undefined;
    const { taken, env } = await receiver((response, position, subjects) => {
      if (position > 3 || subjects.includes('r1')) response.writeHead(204).end();
      else held.push(response);
      if (position === 3 && child) free(child);
    });
    child = await begin({ jobs: 1200 }, env);
    const ending = await child.ended;
    expect(held).toHaveLength(2);
    expect(sorted(taken)).toEqual(all(1200));
    expect(ending.stderr).toContain('the watchdog thread delivered 1200 of 1200 open jobs');
    expectOwnEnd(ending, 1200);
  });

  // While the thread's last answer is on its way, and when the thread has been done for a while.
  it.each([0, 300])(
    'blocked in the middle of its own delivery, free %i ms after the thread had it all: each job goes out once',
    async (laterMs) => {
      const held: ServerResponse[] = [];
      let child: Child | undefined;
      const { taken, farEnd, env } = await receiver((response, position) => {
        if (position > 2) {
          response.writeHead(204).end();
          return;
        }
        held.push(response);
        // Both of its calls are under way when the event loop stops.
        if (position === 2) child?.process.send('block');
      });
      child = await begin({ jobs: 600, phase: 'deliver', after: 'message' }, env);
      await until(() => taken.length === 600);
      await sleep(laterMs);
      free(child);
      const ending = await child.ended;
      expect([held.length, farEnd.requests.length]).toEqual([2, 4]);
      expect(sorted(taken)).toEqual(all(600));
      expect(ending.stderr).toMatch(
        /the watchdog thread delivered 600 of 600 open jobs, because .*, while handler "blocker" \(.*\) ran/,
      );
      expectOwnEnd(ending, 600);
    },
  );
});

describe('two buses in one process', () => {
  it('the one with less time is blocked for good: the jobs of both are reported before the process ends, each once', async () => {
    const { taken, env } = await receiver();
    const ending = await startAndKill('two-buses-blocked.js', 'SIGTERM', { env });
    expect(sorted(taken)).toEqual(['r1', 'r2']);
    expect(ending.signal).toBe('SIGKILL');
    expect(ending.stderr.match(/the watchdog thread delivered 1 of 1 open jobs/g)).toHaveLength(2);
    expect(ending.afterKillMs).toBeGreaterThan(LATER_MS);
    expect(ending.afterKillMs).toBeLessThan(LATER_MS + 1000);
  });
});

describe('a voice that dies or hangs', () => {
  /** The fixture beside a copy of this package, in which the voice takes its turn and then does this. */
  function withVoice(code: string): string {
    const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
    closers.push(() => rmSync(folder, { recursive: true }));
    for (const name of ['dist', 'package.json'])
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    cpSync(join(ROOT, 'test/process/fixtures/blocked.js'), join(folder, 'blocked.js'));
    const takeTurn = `
      import { workerData } from 'node:worker_threads';
      workerData.port.on('message', (message) => {
        if (!('beat' in message)) return;
        Atomics.store(new Int32Array(workerData.words), ${WORD.turn}, ${TURN.voice});
        process._rawDebug('the voice has the turn');
        ${code}
      });`;
    writeFileSync(join(folder, 'dist/src/watchdog/voice.js'), takeTurn);
    return join(folder, 'blocked.js');
  }

  it.each([
    ['hangs', 'while (true);'],
    ['dies', 'process.exit();'],
  ])('%s: the deadline holds, and the jobs are on stderr', async (_name, code) => {
    const ending = await startAndKill(withVoice(code), 'SIGTERM', options({}));
    expectEndByThread(ending);
    expect(subjectsOf(ending.stderr)).toEqual(all(3));
  });

  it('leaves its turn to an event loop that is free again', async () => {
    const { taken, env } = await receiver();
    const child = start(withVoice('process.exit();'), options({ how: 'stdin' }, env));
    await child.line('ready');
    child.kill('SIGTERM');
    await child.line('the voice has the turn');
    child.process.stdin?.write('.');
    expectOwnEnd(await child.ended, 3);
    expect(taken).toEqual(all(3));
  });
});
