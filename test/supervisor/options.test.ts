import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SUPERVISE_DEFAULTS, type SuperviseOptions } from '../../supervisor/index.js';
import { resolveOptions } from '../../supervisor/options.js';

const exec = 'app.js';
const MOST_MS = 2 ** 31 - 1;

function refusal(options: object, env: NodeJS.ProcessEnv = {}): { code?: string; message: string } {
  try {
    resolveOptions({ exec, ...options } as SuperviseOptions, env);
  } catch (error) {
    return error as { code: string; message: string };
  }
  return { message: 'nothing was refused' };
}

describe('the options of supervise', () => {
  it.each<[string, unknown, string]>([
    ['exec', undefined, 'exec is undefined, allowed: the path of the program'],
    ['exec', '', 'exec is "", allowed: the path of the program'],
    ['args', 'one', 'args is "one", allowed: a list of texts'],
    ['args', [1], 'args is 1, allowed: a list of texts'],
    ['execArgv', '--inspect', 'execArgv is "--inspect", allowed: a list of texts'],
    ['env', 'A=1', 'env is "A=1", allowed: an object of texts'],
    ['env', ['A=1'], 'env is A=1, allowed: an object of texts'],
    ['env', { A: 'x', B: 1 }, 'env has B, which is 1, allowed: texts'],
    ['workers', 0, 'workers is 0, allowed: whole numbers from 1 to 1024'],
    ['workers', 1025, 'workers is 1025, allowed: whole numbers from 1 to 1024'],
    ['workers', 1.5, 'workers is 1.5, allowed: whole numbers from 1 to 1024'],
    ['workers', '2', 'workers is "2", allowed: whole numbers from 1 to 1024'],
    ['timeoutMs', 99, `timeoutMs is 99, allowed: milliseconds from 100 to ${MOST_MS}; or 0: never`],
    ['timeoutMs', Number.POSITIVE_INFINITY, 'timeoutMs is Infinity, allowed: milliseconds from 100'],
    ['gracefulTimeoutMs', MOST_MS + 1, `gracefulTimeoutMs is ${MOST_MS + 1}, allowed: milliseconds from 0`],
    ['gracefulTimeoutMs', '40000', 'gracefulTimeoutMs is "40000", allowed: milliseconds from 0'],
    ['killGapMs', -1, 'killGapMs is -1, allowed: milliseconds from 0'],
    ['startTimeoutMs', 0, 'startTimeoutMs is 0, allowed: milliseconds from 1'],
    ['ready', 'soon', `ready is "soon", allowed: 'listening' or 'started'`],
    ['drainOnTerm', 'no', 'drainOnTerm is "no", allowed: true or false'],
    ['maxRequests', 0, 'maxRequests is 0, allowed: whole numbers from 1'],
    ['maxAgeMs', 999, 'maxAgeMs is 999, allowed: milliseconds from 1000'],
    ['jitter', 1.01, 'jitter is 1.01, allowed: 0 to 1'],
    ['jitter', Number.NaN, 'jitter is NaN, allowed: 0 to 1'],
    ['failSafeMs', 0, `failSafeMs is 0, allowed: milliseconds from 1 to ${MOST_MS}, or Infinity`],
    ['reloadSignals', 'SIGHUP', `reloadSignals is "SIGHUP", allowed: a list such as ['SIGHUP']`],
    ['reloadSignals', ['HUP', 'SIGKILL'], 'reloadSignals has "HUP", "SIGKILL", allowed: names that can be'],
    ['reloadSignals', ['SIGTERM'], 'reloadSignals has "SIGTERM", allowed: names that can be caught, but for'],
    ['unhurriedSignals', ['SIGTTIN'], 'unhurriedSignals has "SIGTTIN", allowed: names that can be caught'],
    ['readinessPath', 'readyz', `readinessPath is "readyz", allowed: a path such as '/readyz'`],
    ['livenessPath', '/livez?a', `livenessPath is "/livez?a", allowed: a path such as '/readyz'`],
    ['control', true, 'control is true, allowed: the path of a socket, or false'],
    ['control', '', 'control is "", allowed: the path of a socket, or false'],
    ['service', '', 'service is "", allowed: a text that is not empty'],
    ['platform', 'moon', 'platform is "moon", allowed: pm2, '],
    ['budgetMs', Number.NaN, 'budgetMs is NaN, allowed: milliseconds from 1'],
    ['notifiers', [{}], 'notifiers[0] has no name or no deliver'],
    ['deliveryMode', 'some', `deliveryMode is "some", allowed: 'all' or 'failover'`],
    ['store', 'lmdb:x', 'store is a text, allowed: lmdbStore'],
    ['redact', ['a..b'], 'redact has "a..b"'],
    ['exit', 'now', 'exit is "now"'],
  ])('a bad %s, %j, is refused with what is allowed', (name, value, message) => {
    const error = refusal({ [name]: value });
    expect(error.code).toBe('INVALID_OPTION');
    expect(error.message).toContain(message);
    // One thing is wrong, and one is complained about.
    expect(error.message.split('; ').filter((part) => / (is|has) /.test(part))).toHaveLength(1);
  });

  it('all that is wrong is in one error, misspelt names too', () => {
    const { message } = refusal({ exec: 4, worker: 2, timeoutMs: -1, jitter: 2, budgetMs: 0, control: 1 });
    expect(message).toMatch(
      /^the options of supervise are not usable: "worker" is no option, allowed: exec, .*; exec is 4.*timeoutMs is -1.*jitter is 2.*control is 1.*budgetMs is 0/,
    );
  });

  it.each([
    { timeoutMs: 100 },
    { timeoutMs: MOST_MS },
    { timeoutMs: 0 },
    { killGapMs: 0 },
    { startTimeoutMs: 1 },
    { workers: 1 },
    { workers: 1024 },
    { maxRequests: 1 },
    { maxAgeMs: 1000 },
    { jitter: 0 },
    { jitter: 1 },
    { failSafeMs: 1 },
    { reloadSignals: [] },
    { unhurriedSignals: ['SIGUSR2'], reloadSignals: ['SIGHUP'] },
    { control: false },
    { control: '/run/app.sock' },
    { ready: 'started' },
    { env: { A: '' } },
    { args: ['-x'] },
    { readinessPath: '/' },
  ] as const)('%j is at the edge of what is allowed, and is kept', (options) => {
    expect(resolveOptions({ exec, ...options }, {})).toMatchObject(options);
  });

  it('C06: the second stage counts from the same beginning as the first, so it cannot be the earlier one', () => {
    expect(refusal({ timeoutMs: 7000, gracefulTimeoutMs: 6999 })).toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining(
        'gracefulTimeoutMs 6999 is smaller than timeoutMs 7000, and both count from the beginning of the silence; the time that a stop may take is budgetMs',
      ),
    });
    for (const gracefulTimeoutMs of [7000, 7001])
      expect(resolveOptions({ exec, timeoutMs: 7000, gracefulTimeoutMs }, {})).toMatchObject({
        gracefulTimeoutMs,
      });
  });

  it('C06: that holds for the usual timeout as well', () => {
    const { timeoutMs } = SUPERVISE_DEFAULTS;
    expect(refusal({ gracefulTimeoutMs: timeoutMs - 1 }).message).toContain(
      'is smaller than timeoutMs 30000',
    );
    expect(resolveOptions({ exec, gracefulTimeoutMs: timeoutMs }, {}).gracefulTimeoutMs).toBe(timeoutMs);
  });

  it('a second stage without a first one would never come, and is refused', () => {
    expect(refusal({ timeoutMs: 0, gracefulTimeoutMs: 5000 }).message).toContain(
      'gracefulTimeoutMs 5000 has no effect where timeoutMs is 0: never',
    );
  });

  it('D15: the signals that reload are the ones that were asked for', () => {
    expect(resolveOptions({ exec, reloadSignals: ['SIGUSR2'] }, {}).reloadSignals).toEqual(['SIGUSR2']);
  });

  it('D15: SIGUSR1 is refused: Node opens its inspector when it comes', () => {
    for (const name of ['reloadSignals', 'unhurriedSignals'])
      expect(refusal({ [name]: ['SIGUSR1'] })).toMatchObject({
        code: 'INVALID_OPTION',
        message: expect.stringContaining(`${name} has "SIGUSR1": it opens the inspector of Node, allowed:`),
      });
  });

  it('a signal that is named twice reloads once', () => {
    expect(resolveOptions({ exec, reloadSignals: ['SIGHUP', 'SIGHUP'] }, {}).reloadSignals).toEqual([
      'SIGHUP',
    ]);
  });

  it('a signal cannot mean two things, also not by default', () => {
    expect(refusal({ reloadSignals: ['SIGWINCH'] }).message).toContain(
      '"SIGWINCH" is in reloadSignals and in unhurriedSignals, allowed: in one of them',
    );
    expect(refusal({ unhurriedSignals: ['SIGHUP'] }).message).toContain('"SIGHUP" is in reloadSignals and');
    expect(
      resolveOptions({ exec, reloadSignals: ['SIGWINCH'], unhurriedSignals: [] }, {}).reloadSignals,
    ).toEqual(['SIGWINCH']);
  });

  it('one path cannot be asked for two things', () => {
    expect(refusal({ readinessPath: '/z', livenessPath: '/z' }).message).toContain(
      'readinessPath and livenessPath are the same',
    );
    expect(resolveOptions({ exec, readinessPath: '/r', livenessPath: '/l' }, {}).livenessPath).toBe('/l');
  });
});

describe('what is not given', () => {
  it('has the defaults of SUPERVISE_DEFAULTS, and what is explicitly undefined too', () => {
    const names = Object.keys(SUPERVISE_DEFAULTS);
    const unsaid = Object.fromEntries(names.map((name) => [name, undefined]));
    for (const options of [{}, unsaid]) {
      const settings = resolveOptions({ exec, ...options } as SuperviseOptions, {});
      expect(settings).toMatchObject(SUPERVISE_DEFAULTS);
      expect(settings).toMatchObject({ args: [], env: {}, execArgv: process.execArgv, bus: {} });
      expect([settings.gracefulTimeoutMs, settings.maxRequests, settings.maxAgeMs]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
    }
  });

  it('every default that is written beside an option is the one of the code', () => {
    const source = readFileSync(new URL('../../supervisor/options.ts', import.meta.url), 'utf8');
    const [body = ''] = /export interface SuperviseOptions [\s\S]*?\n\}/.exec(source) ?? [];
    const documented = [...body.matchAll(/@default ([^\n]*?)(?: \*\/)?\n(?:\s*\*\/\n)?\s*readonly (\w+)\?/g)];
    const shown = Object.fromEntries(documented.map(([, value, name]) => [name, value]));
    const expected = Object.entries(SUPERVISE_DEFAULTS).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : typeof value === 'string' ? `'${value}'` : String(value),
    ]);
    expect(shown).toMatchObject(Object.fromEntries(expected));
  });

  it('the program is found from where the service was started', () => {
    expect(resolveOptions({ exec: 'lib/app.js' }, {}).exec).toBe(resolve('lib/app.js'));
    expect(resolveOptions({ exec: '/srv/app.js' }, {}).exec).toBe('/srv/app.js');
  });

  it('a stop without haste and without a limit has the longest one that a timer can hold', () => {
    expect(resolveOptions({ exec, failSafeMs: Number.POSITIVE_INFINITY }, {}).failSafeMs).toBe(MOST_MS);
  });

  it('the primary’s own bus gets what is its own, and nothing that was not said', () => {
    expect(
      resolveOptions({ exec, service: 'orders', budgetMs: 5000, redact: ['a.b'], workers: 2 }, {}).bus,
    ).toEqual({
      service: 'orders',
      budgetMs: 5000,
      redact: ['a.b'],
    });
  });
});

describe('the number of workers', () => {
  it('is the option, else WEB_CONCURRENCY, else one a processor', () => {
    expect(resolveOptions({ exec, workers: 3 }, { WEB_CONCURRENCY: '5' }).workers).toBe(3);
    expect(resolveOptions({ exec }, { WEB_CONCURRENCY: '5' }).workers).toBe(5);
    for (const env of [{}, { WEB_CONCURRENCY: '' }])
      expect(resolveOptions({ exec }, env).workers).toBe(availableParallelism());
  });

  it.each(['0', '1025', 'two', '2.5', '-1', '0x2'])(
    'WEB_CONCURRENCY=%s is refused as it was written',
    (text) => {
      const { code, message } = refusal({}, { WEB_CONCURRENCY: text });
      expect(code).toBe('INVALID_ENVIRONMENT');
      expect(message).toMatch(
        /^WEB_CONCURRENCY is .*, allowed: whole numbers from 1 to 1024; it says how many/,
      );
      expect(message).toContain(text);
    },
  );

  it('a bad WEB_CONCURRENCY is nobody’s business where the option is given', () => {
    expect(resolveOptions({ exec, workers: 3 }, { WEB_CONCURRENCY: 'two' }).workers).toBe(3);
  });
});
