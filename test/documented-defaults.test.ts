// Loaded ahead: what a bus loads in the background must not come after the last test.
import './test-bus.js';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ANSWER_DEFAULTS } from '../http/answer.js';
import { DRAIN_DEFAULTS, type DrainOptions, resolveOptions } from '../http/options.js';
import { FAREWELL_MS } from '../http/upgrades.js';
import { pubsubNotifier } from '../notifiers/pubsub.js';
import { snsNotifier } from '../notifiers/sns.js';
import { stdoutNotifier } from '../notifiers/stdout.js';
import { webhookNotifier } from '../notifiers/webhook.js';
import { readEnvironment } from '../src/config/environment.js';
import { DEFAULTS, resolveConfig, type ShutdownBusOptions } from '../src/config.js';
import { createShutdownBus, type Notifier, PHASE_PRIORITY } from '../src/index.js';
import { budgetOf, detectPlatform, PLATFORMS, type PlatformName } from '../src/platform.js';
import { createFakeProcess } from '../src/testing/fake-process.js';

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const README = read('README.md');

/** The rows of the table whose first column has that heading. */
function table(heading: string): string[][] {
  const lines = README.split('\n');
  const from = lines.findIndex((line) => line.startsWith(`| ${heading} `));
  if (from < 0) throw new Error(`the README has no table that begins with ${heading}`);
  const length = lines.slice(from).findIndex((line) => !line.startsWith('|'));
  return lines.slice(from + 2, from + length).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const codes = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code as string);
const column = (heading: string, index: number) =>
  Object.fromEntries(table(heading).map((row) => [codes(row[0])[0], row[index]]));
const share = (part: number, most: number) => `${part * 100} % of \`budgetMs\`, at most ${most}`;
const code = (value: unknown) => `\`${String(value)}\``;

// What a process gets that nobody told anything, wherever these tests run.
const config = resolveConfig({ platform: 'unknown' }, {});

describe('the options of a bus', () => {
  const expected = {
    service: '`K_SERVICE`, `OTEL_SERVICE_NAME`, `npm_package_name`, else `unknown-service`',
    platform: 'recognised, see below',
    budgetMs: "the platform's grace period less 10 %, at least 250 ms",
    reserveMs: share(DEFAULTS.reserveShare, DEFAULTS.mostReserveMs),
    releaseReserveMs: share(DEFAULTS.releaseReserveShare, DEFAULTS.mostReleaseReserveMs),
    interruptGraceMs: share(DEFAULTS.interruptGraceShare, DEFAULTS.mostInterruptGraceMs),
    signals: DEFAULTS.signals.map(code).join(', '),
    fatalErrors: code(config.fatalErrors),
    notifiers: `those whose address is set below, else ${config.notifierSettings.map(({ kind }) => code(kind))}`,
    deliveryMode: code(DEFAULTS.deliveryMode),
    store: '`memory`',
    redact: 'none',
    memory: code(config.memory),
    watchdog: code(config.watchdog),
    exit: code(config.exit),
    readinessDelayMs: `${PLATFORMS.kubernetes.readinessDelayMs} on Kubernetes, else 0`,
    clock: "the machine's",
    logger: 'one line a fact on stderr',
    process: 'the real one',
  } satisfies Record<keyof ShutdownBusOptions, string>;

  it('are all in the table, with the defaults of the code', () => {
    expect(column('Option', 2)).toEqual(expected);
  });

  it('the texts among them mean what the code does', () => {
    expect(config).toMatchObject({ signals: DEFAULTS.signals, deliveryMode: DEFAULTS.deliveryMode });
    expect([config.store, config.redact, config.process]).toEqual([undefined, [], process]);
    const [share, least] = (expected.budgetMs.match(/\d+/g) ?? []).map(Number) as [number, number];
    for (const graceMs of [500, 1600, 2500, 10_000, 90_000])
      expect(budgetOf(graceMs)).toBe(graceMs - Math.max((graceMs * share) / 100, least));
    const [first, second, third, last] = codes(expected.service) as [string, string, string, string];
    expect(resolveConfig({}, { [first]: 'a', [second]: 'b', [third]: 'c' }).service).toBe('a');
    expect(resolveConfig({}, { [second]: 'b', [third]: 'c' }).service).toBe('b');
    expect(resolveConfig({}, { [third]: 'c' }).service).toBe('c');
    expect(config.service).toBe(last);
    for (const platform of Object.keys(PLATFORMS) as PlatformName[])
      expect(resolveConfig({ platform }, {}).readinessDelayMs).toBe(platform === 'kubernetes' ? 5000 : 0);
  });

  it('the memory watch, once it is on, has the defaults of the table', () => {
    const [, , , meaning] = table('Option').find(([name]) => name === '`memory`') as string[];
    expect(meaning).toContain(`\`limit\` is \`${DEFAULTS.memoryLimit}\``);
    expect(meaning).toContain(`\`intervalMs\` ${DEFAULTS.memoryIntervalMs} by default`);
  });

  it('the phases have the priorities of the text', () => {
    for (const [phase, priority] of Object.entries(PHASE_PRIORITY))
      expect(README.replace(/\s+/g, ' ')).toContain(`\`${phase}\` ${priority}`);
  });

  it('a job has its second stage when the text says', () => {
    const [, later] = /`gracefulTimeoutMs` is `timeoutMs` \+ (\d+)/.exec(README) ?? [];
    const timers: number[] = [];
    const clock = { ...config.clock, setTimeout: (_: () => void, ms: number) => timers.push(ms) };
    const logger = { info() {}, warn() {}, error() {} };
    const bus = createShutdownBus({ clock, logger, process: createFakeProcess(), notifiers: [] });
    bus.jobs.begin({ type: 'x', timeoutMs: 300 });
    expect(timers).toEqual([300, 300 + Number(later)]);
  });
});

describe('the environment variables', () => {
  const source = read('src/config/environment.ts');
  const [, list = ''] = /const VARIABLES = \[([^\]]+)\]/.exec(source) ?? [];
  const known = [...list.matchAll(/'(\w+)'/g)].map(([, name]) => `SHUTDOWN_${name}`);
  const documented = [
    ...table('Option').map((row) => row[1]),
    ...table('Environment variable').map(([name]) => name),
  ];

  it('are all in one of the two tables, and no others', () => {
    expect(known.length).toBeGreaterThan(10);
    expect(documented.flatMap((cell) => codes(cell)).sort()).toEqual([...known].sort());
  });

  it('wherever the page names one, the code knows it', () => {
    const named = [...new Set(README.match(/\bSHUTDOWN_[A-Z][A-Z_]*[A-Z]\b/g))];
    expect(readEnvironment(Object.fromEntries(named.map((name) => [name, '']))).unknown).toEqual([]);
    expect(readEnvironment({ SHUTDOWN_NONSENSE: '' }).unknown).toEqual(['SHUTDOWN_NONSENSE']);
  });

  it('without them the preStop time is 0', () => {
    expect(column('Environment variable', 1).SHUTDOWN_PRE_STOP_MS).toBe('0');
    expect(resolveConfig({ platform: 'kubernetes' }, { SHUTDOWN_PRE_STOP_MS: '0' }).budgetMs).toBe(
      resolveConfig({ platform: 'kubernetes' }, {}).budgetMs,
    );
  });
});

describe('the platforms', () => {
  it('are all in the table, with their grace periods and budgets', () => {
    const rows = table('Platform').map(([name, , graceMs, budgetMs]) => [
      codes(name)[0],
      Number(graceMs),
      Number(budgetMs),
    ]);
    const expected = Object.values(PLATFORMS).map(({ name, graceMs }) => [
      name,
      graceMs,
      resolveConfig({ platform: name }, {}).budgetMs,
    ]);
    expect(rows).toEqual(expected);
  });

  it.each(
    table('Platform').flatMap(([name, how]) => codes(how).map((variable) => [variable, codes(name)[0]])),
  )('%s is how %s is recognised', (variable, name) => {
    expect(detectPlatform({ [variable as string]: 'x' }, () => false).name).toBe(name);
  });
});

describe('the budget', () => {
  it('is drawn as it is', () => {
    const { budgetMs, reserveMs, releaseReserveMs, interruptGraceMs } = config;
    const release = budgetMs - releaseReserveMs;
    const deliver = release - reserveMs;
    const abort = deliver - interruptGraceMs;
    const marks = [0, abort, deliver, release, budgetMs].map((ms) => ms / 1000);
    const [scale = '', bar = '', ...notes] = README.split('\n').slice(
      README.split('\n').findIndex((line) => /^0 s +\d/.test(line)),
    );
    const drawn = (scale.match(/[\d.]+/g) ?? []).map(Number);
    expect(drawn).toEqual([0, 4.5, 5.4, 8.1, 9, 10]);
    expect(marks).toEqual([0, 4.5, 5.4, 8.1, 9]);
    expect(bar.match(/[a-z]+/g)).toEqual(['intake', 'drain', 'abort', 'deliver', 'release']);
    expect(notes[0]?.match(/\d+/g)?.map(Number)).toEqual([interruptGraceMs, reserveMs, releaseReserveMs]);
  });

  it.each(table('Set'))('on Kubernetes with %s it is divided as in the table', (set, ...cells) => {
    const settings = codes(set).map((text) => text.split('='));
    const env = { KUBERNETES_SERVICE_HOST: 'x', ...Object.fromEntries(settings) };
    const { budgetMs, readinessDelayMs, ...reserves } = resolveConfig({}, env);
    const { interruptGraceMs, reserveMs, releaseReserveMs } = reserves;
    const drainMs = budgetMs - readinessDelayMs - interruptGraceMs - reserveMs - releaseReserveMs;
    expect(cells.map(Number)).toEqual([
      budgetMs,
      readinessDelayMs,
      drainMs,
      interruptGraceMs,
      reserveMs,
      releaseReserveMs,
    ]);
  });
});

describe('the notifiers', () => {
  const made: Readonly<Record<string, Notifier>> = {
    stdoutNotifier: stdoutNotifier(),
    webhookNotifier: webhookNotifier({ url: 'http://127.0.0.1:9/' }),
    pubsubNotifier: pubsubNotifier({ topic: 'projects/p/topics/jobs' }),
    snsNotifier: snsNotifier({ topicArn: 'arn:aws:sns:eu-west-1:123456789012:jobs' }),
  };

  it('have the limits of the table', () => {
    const rows = table('Factory').map(([name, from, , ...limits]) => [
      codes(name)[0],
      codes(from)[0],
      ...limits,
    ]);
    const expected = Object.entries(made).map(([factory, notifier]) => [
      factory,
      `shutdown-bus/notifiers/${notifier.name}`,
      String(notifier.maxBatchSize),
      String(notifier.maxBatchBytes ?? '–'),
      String(notifier.maxConcurrency),
    ]);
    expect(rows).toEqual(expected);
  });
});

describe('the options of drainServer', () => {
  it('are all in the table, with the defaults of the code', () => {
    const expected = {
      bus: 'the default bus',
      readinessDelayMs: "the bus's",
      readinessPath: 'none',
      livenessPath: 'none',
      answer: code(DRAIN_DEFAULTS.answer),
      drainBacklog: code(DRAIN_DEFAULTS.drainBacklog),
      idleLingerMs: String(DRAIN_DEFAULTS.idleLingerMs),
      onUpgrade: '1001, then 2 s',
    } satisfies Record<keyof DrainOptions, string>;
    expect(column('`drainServer` option', 1)).toEqual(expected);

    const bus = createShutdownBus({ process: createFakeProcess(), readinessDelayMs: 123, budgetMs: 9000 });
    const { readinessPath, livenessPath, onUpgrade, ...settings } = resolveOptions({ bus });
    expect(settings).toEqual({ bus, readinessDelayMs: 123, ...DRAIN_DEFAULTS });
    expect([readinessPath, livenessPath, onUpgrade]).toEqual([undefined, undefined, undefined]);
    expect(FAREWELL_MS).toBe(2000);
  });

  it('an answer that says nothing says what the page says', () => {
    const text = README.replace(/\s+/g, ' ');
    expect(text).toContain(
      `without \`status\` is ${ANSWER_DEFAULTS.status}, without \`body\` it says \`${ANSWER_DEFAULTS.body}\``,
    );
  });
});
