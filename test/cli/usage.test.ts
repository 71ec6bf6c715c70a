import { describe, expect, it } from 'vitest';
import {
  describeOptions,
  isUsageError,
  type OptionTable,
  readOptions,
  readShare,
  readTime,
  readWhole,
  UsageError,
} from '../../cli/usage.js';
import { ShutdownError } from '../../src/index.js';

const TABLE: OptionTable = {
  workers: { short: 'w', value: '<n>', text: 'how many' },
  tag: { value: '<text>', multiple: true, text: 'any' },
  quiet: { short: 'q', text: 'no words' },
};

const read = (...args: string[]) => {
  const { values, positionals } = readOptions(args, TABLE);
  return { ...values, rest: positionals };
};

describe('options', () => {
  it('have the next word as their value, also one that begins with a dash', () => {
    expect(read('--tag', '--no-warnings', '-w', '-1', '-q', 'app.js', '--tag', 'x')).toEqual({
      tag: ['--no-warnings'],
      workers: '-1',
      quiet: true,
      rest: ['app.js', '--tag', 'x'],
    });
    expect(read('--tag=a', '-w2', '--', '--tag')).toEqual({ tag: ['a'], workers: '2', rest: ['--tag'] });
    expect(() => read('--tag')).toThrow(UsageError);
    expect(() => read('--tag', '--', 'x')).toThrow(UsageError);
  });
});

describe('a time', () => {
  it.each([
    ['30', 30_000],
    ['30s', 30_000],
    ['0', 0],
    ['1.5', 1500],
    ['0.25s', 250],
    ['500ms', 500],
    ['5m', 300_000],
    ['2h', 7_200_000],
  ])('%s is %i ms', (text, ms) => {
    expect(readTime('--timeout', text)).toBe(ms);
  });

  it('never is what it means for that option', () => {
    expect(readTime('--timeout', 'never', 0)).toBe(0);
    expect(readTime('--fail-safe', 'never', Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY);
  });

  it.each(['', 's', '-1', '+1', '1 s', '1e3', '1d', '.5', '5sec', 'Infinity', 'NEVER'])(
    '%j is refused, with what is allowed',
    (text) => {
      const never = () => readTime('--fail-safe', text, 0);
      expect(never).toThrow(UsageError);
      expect(never).toThrow(
        `--fail-safe is ${JSON.stringify(text)}, allowed: a time such as 30, 30s, 500ms, 5m, 2h, or never`,
      );
    },
  );

  it('never is refused where there is none, and not offered', () => {
    expect(() => readTime('--kill-gap', 'never')).toThrow(
      /^--kill-gap is "never", allowed: a time such as 30, 30s, 500ms, 5m, 2h$/,
    );
  });
});

describe('a number', () => {
  it('is whole, or a part of one', () => {
    expect([readWhole('--workers', '0'), readWhole('--workers', '12')]).toEqual([0, 12]);
    expect(['0', '1', '0.1', '.25'].map((text) => readShare('--jitter', text))).toEqual([0, 1, 0.1, 0.25]);
  });

  it.each(['', '2.5', '-2', '2x', '0x2', 'two'])('%j is no whole one', (text) => {
    expect(() => readWhole('--workers', text)).toThrow(
      `--workers is ${JSON.stringify(text)}, allowed: a whole number`,
    );
  });

  it.each(['', '1.1', '-0.1', '10%', 'x', '2', '.'])('%j is no part of one', (text) => {
    expect(() => readShare('--jitter', text)).toThrow(`--jitter is ${JSON.stringify(text)}, allowed: 0 to 1`);
  });
});

describe('what was typed', () => {
  it('without anything is nothing', () => {
    expect(read()).toEqual({ rest: [] });
  });

  it.each([
    [['-w', '2', 'app.js']],
    [['-w2', 'app.js']],
    [['--workers', '2', 'app.js']],
    [['--workers=2', 'app.js']],
    [['--workers=1', '-w', '2', 'app.js']],
  ])('%j is two workers', (args) => {
    expect(read(...args)).toEqual({ workers: '2', rest: ['app.js'] });
  });

  it('belongs to the program from its name on, whatever it looks like', () => {
    const theirs = ['app.js', '--workers', '4', '-q', '--unknown=1', '--', '--help'];
    expect(read('-q', ...theirs)).toEqual({ quiet: true, rest: theirs });
  });

  it('after -- is the program, whatever it is called', () => {
    expect(read('-q', '--', '-odd.js', '-q')).toEqual({ quiet: true, rest: ['-odd.js', '-q'] });
  });

  it('several short switches may be one word', () => {
    expect(read('-qw', '3', 'app.js')).toEqual({ quiet: true, workers: '3', rest: ['app.js'] });
  });

  it('can be said several times where that means something', () => {
    expect(read('--tag=a', '--tag', 'b', 'app.js')).toEqual({ tag: ['a', 'b'], rest: ['app.js'] });
  });

  it.each([
    [['--worker', '2', 'app.js'], /'--worker'/],
    [['-x', 'app.js'], /'-x'/],
    [['--quiet=yes'], /'-q, --quiet' does not take an argument/],
    [['--workers'], /'-w, --workers <value>' argument missing/],
    [['--workers', '--quiet', 'app.js'], /'--workers' argument is ambiguous/],
  ])('%j is refused by its name', (args, message) => {
    expect(() => read(...args)).toThrow(UsageError);
    expect(() => read(...args)).toThrow(message);
    expect(() => read(...args)).not.toThrow(/positional/);
  });
});

describe('the help', () => {
  it('shows every option in one column, with its short form', () => {
    expect(describeOptions(TABLE).split('\n')).toEqual([
      '  -w, --workers <n>  how many',
      '      --tag <text>   any',
      '  -q, --quiet        no words',
    ]);
  });
});

describe('a mistake of whoever typed', () => {
  it('is told from a failure', () => {
    expect(isUsageError(new UsageError('x'))).toBe(true);
    expect(isUsageError(new ShutdownError('INVALID_OPTION', 'x'))).toBe(true);
    expect(isUsageError(new ShutdownError('INVALID_ENVIRONMENT', 'x'))).toBe(true);
    expect(isUsageError(new ShutdownError('PACKAGE_MISSING', 'x'))).toBe(false);
    expect([new Error('x'), undefined, 'x'].map(isUsageError)).toEqual([false, false, false]);
  });
});
