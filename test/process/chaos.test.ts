import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../chaos/run.js', import.meta.url));
const { STORES } = await import(new URL('../../chaos/stores.js', import.meta.url).href);
const noRedis: string | undefined = STORES.redis.missing();
/** The plan of every process is the same each time; what becomes of it never is. */
const SEED = '1';
const MOST_MS = 240_000;

interface Cell {
  readonly way: string;
  readonly store: string;
  readonly promised: boolean;
  readonly trials: number;
  readonly jobs: number;
  readonly byProcess: number;
  readonly bySurvivor: number;
  readonly surplus: number;
  readonly wrong: number;
  readonly strange: number;
  readonly faults: readonly string[];
  readonly struck: number;
  readonly endings: Readonly<Record<string, number>>;
  readonly lost: number;
}

let stop = () => {};
afterEach(() => stop());

async function chaos(...args: string[]) {
  const child = spawn(process.execPath, [SCRIPT, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  // Not SIGKILL: it takes its children with it.
  stop = () => void child.kill('SIGTERM');
  const [output, words, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { code, output, words };
}

async function cellsOf(...args: string[]) {
  const { code, output, words } = await chaos('--json', '--seed', SEED, ...args);
  if (output === '') throw new Error(words);
  return { code, words, cells: JSON.parse(output).cells as Cell[] };
}

/** What each cell of a kept promise comes down to. */
function verdict({ way, store, promised, lost, wrong, strange, faults }: Cell) {
  return { way, store, lost: promised ? lost : 0, wrong, strange, faults };
}

const kept = ({ way, store }: Cell) => ({ way, store, lost: 0, wrong: 0, strange: 0, faults: [] });

describe('whatever ends a process at whatever moment', () => {
  it(
    'every job is finished or reported, where its store promises that',
    async () => {
      const { code, cells, words } = await cellsOf('--trials', '3', '--store', 'memory,lmdb');
      expect(cells.map(verdict), words).toEqual(cells.map(kept));
      expect(code).toBe(0);
      expect(cells).toHaveLength(34);
      expect(cells.reduce((sum, { byProcess }) => sum + byProcess, 0)).toBeGreaterThan(100);
      expect(cells.reduce((sum, { bySurvivor }) => sum + bySurvivor, 0)).toBeGreaterThan(100);
      // What memory alone cannot survive is told as what it is.
      const unpromised = cells.filter(({ promised }) => !promised);
      expect(unpromised.map(({ store }) => store)).toEqual(unpromised.map(() => 'memory'));
      expect(unpromised.reduce((sum, { lost }) => sum + lost, 0)).toBeGreaterThan(50);
    },
    MOST_MS,
  );

  it(
    noRedis === undefined
      ? 'also with Redis, when the machine is lost, and when Redis comes back empty'
      : `Redis is asked for and cannot be had: ${noRedis}`,
    async () => {
      const ways = ['SIGTERM', 'SIGKILL', 'machine-lost', 'store-restarted'];
      const args = ['--trials', '4', '--store', 'redis', '--only', ways.join()];
      if (noRedis !== undefined) {
        expect(await chaos(...args)).toMatchObject({ code: 2, words: expect.stringContaining(noRedis) });
        return;
      }
      const { code, cells, words } = await cellsOf(...args);
      expect(cells.map(verdict), words).toEqual(ways.map((way) => kept({ way, store: 'redis' } as Cell)));
      expect(code).toBe(0);
    },
    MOST_MS,
  );
});

describe('the blow strikes as its way has it:', () => {
  it(
    'in a delivery, with the second SIGINT, by the memory limit',
    async () => {
      const ways = ['double-SIGINT', 'memory-limit', 'SIGKILL-in-delivery'];
      // So many that none at all would count as broken.
      const args = ['--trials', '20', '--store', 'memory', '--only', ways.join()];
      const { code, cells, words } = await cellsOf(...args);
      expect(cells.map(verdict), words).toEqual(ways.map((way) => kept({ way, store: 'memory' } as Cell)));
      expect(code).toBe(0);
      for (const { struck, way } of cells) expect([way, struck > 10]).toEqual([way, true]);
      expect(cells[0]?.struck).toBe(cells[0]?.endings['130']);
    },
    MOST_MS,
  );
});

describe('negative twin: the ledger finds what is lost,', () => {
  it(
    'when the store is switched off',
    async () => {
      const args = ['--trials', '4', '--store', 'lmdb', '--only', 'SIGKILL', '--sabotage', 'store-off'];
      const { code, cells, words } = await cellsOf(...args);
      expect(code).toBe(1);
      expect(cells).toMatchObject([{ promised: true, bySurvivor: 0 }]);
      expect(cells[0]?.lost).toBeGreaterThan(10);
      expect(words).toMatch(/job \d+ .* of trial-\d \([0-9a-f]{12}\) is lost/);
    },
    MOST_MS,
  );

  it(
    'when a report is taken and forgotten',
    async () => {
      const args = ['--trials', '4', '--store', 'memory', '--only', 'SIGTERM', '--sabotage', 'lose-report'];
      const { code, cells } = await cellsOf(...args);
      expect(code).toBe(1);
      expect(cells).toMatchObject([{ promised: true, wrong: 0, strange: 0 }]);
      expect(cells[0]?.lost).toBeGreaterThan(0);
    },
    MOST_MS,
  );

  it(
    'and what is reported although it was finished',
    async () => {
      const ways = ['SIGTERM', 'SIGKILL'];
      const args = ['--trials', '4', '--store', 'memory,lmdb', '--only', ways.join()];
      const { code, cells, words } = await cellsOf(...args, '--sabotage', 'keep-finished');
      expect(code).toBe(1);
      const faulty = cells.filter(({ wrong, surplus }) => wrong > 0 && surplus > wrong);
      // Nobody is left to report what memory alone had.
      const ofAll = cells.filter(({ way, store }) => way === 'SIGTERM' || store === 'lmdb');
      expect(faulty, words).toEqual(ofAll);
      expect(cells.map(({ lost, promised }) => promised && lost > 0)).not.toContain(true);
      expect(words).toMatch(
        /\d jobs of trial-\d \([0-9a-f]{12}\) were finished, and reported all the same: /,
      );
    },
    MOST_MS,
  );

  it(
    'and a shutdown that always hangs until its deadline, where no job is lost by that',
    async () => {
      const args = ['--trials', '4', '--store', 'memory', '--only', 'SIGTERM,uncaughtException'];
      const { code, cells, words } = await cellsOf(...args, '--parallel', '2', '--sabotage', 'hang');
      expect(code).toBe(1);
      const faults = [expect.stringMatching(/^[34] of 4 ended with SIGKILL, at most 2 should$/)];
      expect(cells).toMatchObject([
        { way: 'SIGTERM', lost: 0, wrong: 0, strange: 0, faults },
        { way: 'uncaughtException', lost: 0, wrong: 0, strange: 0, faults },
      ]);
      expect(words).toMatch(/^chaos: {5}[34] of 4 ended with SIGKILL, at most 2 should$/m);
    },
    MOST_MS,
  );
});

describe('the command line of chaos', () => {
  it('prints a table in Markdown, the seed it was planned with, and how it went', async () => {
    const { code, output, words } = await chaos('--trials', '2', '--store', 'memory', '--only', 'SIGKILL');
    expect(code).toBe(0);
    expect(output).toMatch(
      /^\| way to die +\| store +\| trials \| struck \| jobs \|.*\n\| -+ \| -+ \| -+: \| -+: \|/,
    );
    expect(output).toMatch(/\n\| SIGKILL +\| memory +\| +2 \|.*\| not promised \|\n/);
    expect(output).toMatch(/Every promise was kept\. node v.*, seed \d+, 0 min \d+ s\n$/);
    expect(words).toMatch(/seed \d+, 2 trials a cell/);
    expect(output).toContain(' surplus ');
    expect(words).not.toContain('is lost');
  });

  it('--help says what it does, with every option and every way, and does nothing', async () => {
    const { code, output } = await chaos('--help');
    expect(code).toBe(0);
    for (const word of [
      '--trials',
      '--only',
      '--store',
      '--seed',
      '--parallel',
      '--json',
      '--sabotage',
      'hang',
    ])
      expect(output).toContain(word);
    for (const way of ['SIGTERM', 'double-SIGINT', 'memory-limit', 'machine-lost', 'store-restarted'])
      expect(output).toContain(`\n  ${way} `);
  });

  it.each([
    { args: ['--speed', '9'], problem: "Unknown option '--speed'" },
    { args: ['--trials', '0'], problem: '--trials is "0"; allowed: a whole number from 1 to 10000' },
    { args: ['--only', 'old age'], problem: '--only has "old age"; allowed: SIGTERM, ' },
    { args: ['--store', 'paper'], problem: '--store has "paper"; allowed: memory, lmdb, redis' },
    {
      args: ['--only', 'machine-lost', '--store', 'lmdb'],
      problem: 'machine-lost cannot be done with lmdb; it can be with redis',
    },
  ])('$args is refused in one clear sentence', async ({ args, problem }) => {
    const { code, output, words } = await chaos(...args);
    expect({ code, output }).toEqual({ code: 2, output: '' });
    expect(words).toContain(problem);
    expect(words).toContain('node chaos/run.js --help');
  });
});
