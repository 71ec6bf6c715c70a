import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DEFAULTS, resolveConfig } from '../src/config.js';
import type { Notifier, ShutdownBusOptions } from '../src/index.js';

const CLOUD_RUN = { K_SERVICE: 'orders' };

function messageOfError(run: () => unknown): { code?: string; message: string } {
  try {
    run();
  } catch (error) {
    return error as { code: string; message: string };
  }
  return { message: 'nothing was thrown' };
}

describe('the budget', () => {
  it('is drawn for Cloud Run as documented', () => {
    expect(resolveConfig({}, CLOUD_RUN)).toMatchObject({
      service: 'orders',
      budgetMs: 9000,
      reserveMs: 2700,
      releaseReserveMs: 900,
      interruptGraceMs: 900,
      readinessDelayMs: 0,
    });
  });

  it('its shares have upper limits', () => {
    expect(resolveConfig({ budgetMs: 60_000 }, {})).toMatchObject({
      reserveMs: DEFAULTS.mostReserveMs,
      releaseReserveMs: DEFAULTS.mostReleaseReserveMs,
      interruptGraceMs: DEFAULTS.mostInterruptGraceMs,
    });
  });

  it('options come before the environment, the environment before the platform', () => {
    const env = { ...CLOUD_RUN, SHUTDOWN_BUDGET_MS: '5000', SHUTDOWN_SERVICE: 'named' };
    expect(resolveConfig({}, env)).toMatchObject({ budgetMs: 5000, service: 'named' });
    expect(resolveConfig({ budgetMs: 4000, service: 'mine' }, env)).toMatchObject({
      budgetMs: 4000,
      service: 'mine',
    });
  });

  it('declared preStop time is not ours', () => {
    const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1', SHUTDOWN_PRE_STOP_MS: '10000' };
    expect(resolveConfig({}, env)).toMatchObject({ budgetMs: 18_000, readinessDelayMs: 4700 });
  });

  it('declared preStop time that leaves nothing is refused, unless the budget is said as well', () => {
    const env = (ms: number) => ({ FLY_APP_NAME: 'shop', SHUTDOWN_PRE_STOP_MS: String(ms) });
    expect(resolveConfig({}, env(4749)).budgetMs).toBe(1);
    const { code, message } = messageOfError(() => resolveConfig({}, env(4750)));
    expect(code).toBe('INVALID_ENVIRONMENT');
    expect(message).toMatch(
      /PRE_STOP_MS: got 4750, allowed: at most 4749, .*\(fly\) gives 5000 ms.*SHUTDOWN_BUDGET_MS/,
    );
    expect(resolveConfig({}, { ...env(4750), SHUTDOWN_BUDGET_MS: '9000' }).budgetMs).toBe(9000);
    expect(resolveConfig({ budgetMs: 8000 }, env(4750)).budgetMs).toBe(8000);
  });

  it('reserves that do not fit are refused, blaming options or environment', () => {
    const options = messageOfError(() => resolveConfig({ budgetMs: 1000, reserveMs: 2000 }, {}));
    expect(options).toMatchObject({ code: 'INVALID_OPTION' });
    expect(options.message).toMatch(/reserveMs 2000 \+ .* = 2000 ms of budgetMs 1000/);
    const env = { SHUTDOWN_BUDGET_MS: '1000', SHUTDOWN_RESERVE_MS: '2000' };
    expect(messageOfError(() => resolveConfig({}, env))).toMatchObject({ code: 'INVALID_ENVIRONMENT' });
  });

  it('a large reserve makes the defaults of the others give way', () => {
    expect(resolveConfig({ budgetMs: 1000, reserveMs: 900 }, {})).toMatchObject({
      reserveMs: 900,
      releaseReserveMs: 50,
      interruptGraceMs: 50,
    });
  });

  it('a readiness delay longer than the free part is refused', () => {
    expect(
      messageOfError(() => resolveConfig({ budgetMs: 1000, readinessDelayMs: 900 }, {})).message,
    ).toMatch(/readinessDelayMs 900 is longer than the 500 ms/);
  });
});

describe('options', () => {
  const notifier = (name: string): Notifier => ({ name, deliver: async () => [] });

  it.each<[string, ShutdownBusOptions, RegExp]>([
    ['service', { service: '' }, /service is ""/],
    ['budgetMs', { budgetMs: 0 }, /budgetMs is 0/],
    ['budgetMs', { budgetMs: Number.NaN }, /budgetMs is NaN/],
    ['platform', { platform: 'moon' as never }, /platform is "moon", allowed: pm2, /],
    ['signals', { signals: ['SIGKILL'] }, /signals has "SIGKILL"/],
    ['notifiers', { notifiers: [{} as Notifier] }, /notifiers\[0\] has no name or no deliver/],
    ['notifiers', { notifiers: [notifier('a'), notifier('a')] }, /two notifiers are named "a"/],
    [
      'deliveryMode',
      { deliveryMode: 'some' as never },
      /deliveryMode is "some", allowed: 'all' or 'failover'/,
    ],
    ['redact', { redact: ['a..b'] }, /redact has "a\.\.b"/],
    ['memory', { memory: { limit: '120%' } }, /memory\.limit is "120%"/],
    [
      'memory as a text',
      { memory: '40MiB' as never },
      /memory is "40MiB", allowed: false, or \{ limit: '90%' \}/,
    ],
    ['memory as true', { memory: true as never }, /memory is true/],
    ['memory as a share without its sign', { memory: { limit: 0.9 } }, /memory\.limit is 0\.9/],
    [
      'store as a text',
      { store: 'redis://:hunter2@h' as never },
      /store is a text, allowed: lmdbStore\(\{ path \}\).*SHUTDOWN_STORE/,
    ],
    [
      'store without its methods',
      { store: { put() {}, close() {} } as never },
      /store is without checkpoint, delete, claimOrphans/,
    ],
    ['exit', { exit: 'now' as never }, /exit is "now"/],
    ['name', { budget: 5 } as never, /"budget" is no option, allowed: service, platform, budgetMs, /],
  ])('a bad %s is refused with what is allowed', (_name, options, message) => {
    const error = messageOfError(() => resolveConfig(options, {}));
    expect(error).toMatchObject({ code: 'INVALID_OPTION' });
    expect(error.message).toMatch(message);
  });

  it('all bad options are in one error', () => {
    const { message } = messageOfError(() => resolveConfig({ budgetMs: -1, deliveryMode: 'x' as never }, {}));
    expect(message).toMatch(/budgetMs is -1.*deliveryMode is "x"/);
  });
});

describe('the environment', () => {
  it('A28: with nothing set it is stdout, everywhere', () => {
    const { notifierSettings, service, platform } = resolveConfig({}, { npm_package_name: 'pkg' });
    expect(notifierSettings).toEqual([{ kind: 'stdout', options: {} }]);
    expect(service).toBe('pkg');
    expect(['unknown', 'docker']).toContain(platform.name);
  });

  it('every variable is understood', () => {
    const config = resolveConfig(
      {},
      {
        SHUTDOWN_SERVICE: 'orders',
        SHUTDOWN_BUDGET_MS: '8000',
        SHUTDOWN_RESERVE_MS: '2000',
        SHUTDOWN_READINESS_DELAY_MS: '100',
        SHUTDOWN_SIGNALS: 'SIGTERM,usr2,TERM',
        SHUTDOWN_NOTIFIERS: 'webhook,pubsub,sns,stdout',
        SHUTDOWN_DELIVERY_MODE: 'failover',
        SHUTDOWN_WEBHOOK_URL: 'https://c.example/hook',
        SHUTDOWN_WEBHOOK_SECRET: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
        SHUTDOWN_WEBHOOK_HEADERS: 'authorization=Bearer abc==,x-team=orders',
        SHUTDOWN_PUBSUB_TOPIC: 'projects/p/topics/jobs',
        SHUTDOWN_SNS_TOPIC_ARN: 'arn:aws:sns:eu-west-1:123456789012:jobs.fifo',
        SHUTDOWN_STORE: 'memory',
        SHUTDOWN_REDACT: 'user.password, *.token',
        SHUTDOWN_MEMORY_LIMIT: '90%',
      },
    );
    expect(config).toMatchObject({
      service: 'orders',
      budgetMs: 8000,
      reserveMs: 2000,
      readinessDelayMs: 100,
      signals: ['SIGTERM', 'SIGUSR2'],
      deliveryMode: 'failover',
      redact: ['user.password', '*.token'],
      memory: { limit: '90%' },
      notifierSettings: [
        {
          kind: 'webhook',
          options: {
            url: 'https://c.example/hook',
            secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
            headers: { authorization: 'Bearer abc==', 'x-team': 'orders' },
          },
        },
        { kind: 'pubsub', options: { topic: 'projects/p/topics/jobs' } },
        { kind: 'sns', options: { topicArn: 'arn:aws:sns:eu-west-1:123456789012:jobs.fifo' } },
        { kind: 'stdout', options: {} },
      ],
    });
  });

  it('an address alone is enough to choose its notifier', () => {
    const { notifierSettings } = resolveConfig({}, { SHUTDOWN_WEBHOOK_URL: 'http://127.0.0.1:1/' });
    expect(notifierSettings.map(({ kind }) => kind)).toEqual(['webhook']);
  });

  it('the address of a notifier that is not chosen must be usable all the same', () => {
    const env = {
      SHUTDOWN_NOTIFIERS: 'stdout',
      SHUTDOWN_WEBHOOK_URL: 'ftp://x',
      SHUTDOWN_SNS_TOPIC_ARN: 'x',
    };
    expect(messageOfError(() => resolveConfig({}, env)).message).toMatch(
      /WEBHOOK_URL: got .*SNS_TOPIC_ARN: got "x"/s,
    );
  });

  it('a secret and headers without an address must be usable all the same, and are told of', () => {
    const bad = { SHUTDOWN_WEBHOOK_SECRET: '%%%', SHUTDOWN_WEBHOOK_HEADERS: 'nonsense' };
    expect(messageOfError(() => resolveConfig({}, bad)).message).toMatch(
      /WEBHOOK_HEADERS: got .*WEBHOOK_SECRET: got/s,
    );
    const env = { SHUTDOWN_WEBHOOK_SECRET: 'c2VjcmV0' };
    expect(resolveConfig({}, env).idleVariables).toEqual(['SHUTDOWN_WEBHOOK_SECRET']);
    expect(resolveConfig({}, { ...env, SHUTDOWN_WEBHOOK_URL: 'http://127.0.0.1:1/' }).idleVariables).toEqual(
      [],
    );
  });

  it('a secret and headers may come from a file and from JSON', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'secret-')), 'secret');
    writeFileSync(path, 'c2VjcmV0\n');
    const env = {
      SHUTDOWN_WEBHOOK_URL: 'http://127.0.0.1:1/',
      SHUTDOWN_WEBHOOK_SECRET_FILE: path,
      SHUTDOWN_WEBHOOK_HEADERS: '{"x-list": "a,b=c"}',
    };
    expect(resolveConfig({}, env).notifierSettings[0]?.options).toMatchObject({
      secret: 'c2VjcmV0',
      headers: { 'x-list': 'a,b=c' },
    });
  });

  it('empty variables count as unset', () => {
    expect(resolveConfig({}, { SHUTDOWN_BUDGET_MS: '', SHUTDOWN_NOTIFIERS: ' ' }).budgetMs).toBe(9000);
  });

  it('one error lists every bad variable, what it got and what is allowed, and shows no secret', () => {
    const { code, message } = messageOfError(() =>
      resolveConfig(
        {},
        {
          SHUTDOWN_BUDGET_MS: '5s',
          SHUTDOWN_RESERVE_MS: '-1',
          SHUTDOWN_READINESS_DELAY_MS: 'x',
          SHUTDOWN_SIGNALS: 'SIGKILL,SIGTERM',
          SHUTDOWN_NOTIFIERS: 'webhook,pubsub,sns',
          SHUTDOWN_DELIVERY_MODE: 'both',
          SHUTDOWN_WEBHOOK_URL: 'htp://user:hunter2@c',
          SHUTDOWN_WEBHOOK_SECRET: 'hunter2 is no base64',
          SHUTDOWN_WEBHOOK_HEADERS: 'authorization hunter2',
          SHUTDOWN_PUBSUB_TOPIC: 'jobs',
          SHUTDOWN_SNS_TOPIC_ARN: 'arn:jobs',
          SHUTDOWN_STORE: 'reddis://u:hunter2@h',
          SHUTDOWN_REDACT: 'a..b',
          SHUTDOWN_MEMORY_LIMIT: '0%',
        },
      ),
    );
    expect(code).toBe('INVALID_ENVIRONMENT');
    const lines = message.split('\n').slice(1);
    expect(lines.map((line) => /SHUTDOWN_\w+/.exec(line)?.[0]).sort()).toEqual(
      [
        'BUDGET_MS',
        'DELIVERY_MODE',
        'MEMORY_LIMIT',
        'PUBSUB_TOPIC',
        'READINESS_DELAY_MS',
        'REDACT',
        'RESERVE_MS',
        'SIGNALS',
        'SNS_TOPIC_ARN',
        'STORE',
        'WEBHOOK_HEADERS',
        'WEBHOOK_SECRET',
        'WEBHOOK_URL',
      ].map((name) => `SHUTDOWN_${name}`),
    );
    for (const line of lines) expect(line).toMatch(/got .*; allowed: ./);
    expect(message).not.toContain('hunter2');
  });

  it('a notifier without its address is a bad environment', () => {
    const { message } = messageOfError(() => resolveConfig({}, { SHUTDOWN_NOTIFIERS: 'webhook' }));
    expect(message).toMatch(/SHUTDOWN_WEBHOOK_URL: got nothing; allowed: an address/);
  });

  it('a secret file that cannot be read is named, both ways of giving a secret are refused', () => {
    const url = { SHUTDOWN_WEBHOOK_URL: 'http://127.0.0.1:1/' };
    expect(
      messageOfError(() => resolveConfig({}, { ...url, SHUTDOWN_WEBHOOK_SECRET_FILE: '/nowhere' })).message,
    ).toMatch(/SHUTDOWN_WEBHOOK_SECRET_FILE: got "\/nowhere"; allowed: a file this process can read/);
    expect(
      messageOfError(() =>
        resolveConfig(
          {},
          { ...url, SHUTDOWN_WEBHOOK_SECRET_FILE: '/x', SHUTDOWN_WEBHOOK_SECRET: 'c2VjcmV0' },
        ),
      ).message,
    ).toMatch(/not both/);
  });

  it('misspelt variables are noticed, those of a Kubernetes service named "shutdown" are not', () => {
    const env = { SHUTDOWN_BUGDET_MS: '1', SHUTDOWN_PORT_80_TCP: 'x', SHUTDOWN_SERVICE_HOST: 'x' };
    expect(resolveConfig({}, env).unknownVariables).toEqual(['SHUTDOWN_BUGDET_MS']);
  });
});
