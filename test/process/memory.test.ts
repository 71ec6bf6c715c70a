import { describe, expect, it } from 'vitest';
import { type Ending, envelopesIn, start } from './child.js';
import { runs } from './runs.js';

interface MemoryLimit {
  readonly name: string;
  readonly endings: readonly (number | NodeJS.Signals)[];
  around(command: readonly string[]): { readonly command: readonly string[]; release(): Promise<void> };
}

// A control group as containers have it, where one can be made.
const { findMemoryLimit } = await import(new URL('../../chaos/memory-limit.js', import.meta.url).href);
const limit: MemoryLimit = findMemoryLimit();
/** Where what the shutdown takes itself does not count for much. */
const roomyLimit: MemoryLimit = findMemoryLimit(512 * 2 ** 20);
const isGroup = limit.name.startsWith('cgroup');
/** What setrlimit refuses cannot be read: there the limit is told, well below it. */
const WATCH = { SHUTDOWN_MEMORY_LIMIT: isGroup ? '90%' : '200MiB' };
/** How V8 ends a process. */
const HEAP_ENDINGS = ['SIGABRT', 'SIGTRAP', 'SIGILL', 134] as const;
const LANES = 3;
const MOST_MS = 240_000;

type Arguments = readonly [
  where: 'outside' | 'heap',
  mibASecond: number,
  manner: 'notices' | 'goes-on',
  mibAtTheStart?: number,
];

/** Lets it eat under the limit until it ends. */
async function eat(
  meal: Arguments,
  env: NodeJS.ProcessEnv,
  { flags = [], under = limit }: { flags?: readonly string[]; under?: MemoryLimit } = {},
) {
  const { command, release } = under.around([]);
  const ended = await start('memory.js', {
    through: command,
    flags,
    args: meal.map(String),
    env: { SHUTDOWN_BUDGET_MS: '3000', ...env },
  }).ended;
  await release();
  return ended;
}

async function eatOften(count: number, run: () => Promise<Ending>): Promise<readonly Ending[]> {
  const endings: Ending[] = [];
  let left = count;
  const lanes = Array.from({ length: LANES }, async () => {
    for (; left > 0; ) {
      left -= 1;
      endings.push(await run());
    }
  });
  await Promise.all(lanes);
  return endings;
}

const reported = ({ stdout }: Ending) =>
  envelopesIn(stdout).map(({ subject, data }) => [subject, data.reason]);
const tell = ({ stdout, stderr, code, signal }: Ending) => `${code ?? signal}\n${stdout}\n${stderr}`;

function expectReport(ending: Ending): void {
  expect(reported(ending), tell(ending)).toEqual([['r1', 'memory']]);
  expect(ending.code, tell(ending)).toBe(0);
}

/** The same of those that go on eating: some are killed between their report and their exit, how many is the machine's affair. */
function expectReports(endings: readonly Ending[], killed: readonly (number | NodeJS.Signals)[]): void {
  for (const ending of endings) {
    expect(reported(ending), tell(ending)).toEqual([['r1', 'memory']]);
    if (ending.code !== 0) expect(killed, tell(ending)).toContain(ending.signal ?? ending.code);
  }
  expect(endings.filter(({ code }) => code === 0).length).toBeGreaterThan(0);
}

describe(`a process that eats memory under a real limit (${limit.name})`, () => {
  it(
    'A01: reports its job before it would be killed, 20 runs of 20, and goes on eating all the while',
    async () => {
      const endings = await eatOften(20, () => eat(['outside', 80, 'goes-on'], WATCH));
      expect(endings).toHaveLength(20);
      expectReports(endings, limit.endings);
      const what = isGroup ? "the container's memory" : "this process's resident memory";
      expect(endings[0]?.stderr).toContain(`${what} `);
      expect(endings[0]?.stderr).toMatch(/stopping: memory: \d+ of \d+ bytes in use, 1 jobs open/);
    },
    MOST_MS,
  );

  it('A01, negative twin: without the watch it is killed, and nobody is told', async () => {
    const endings = await eatOften(3, () => eat(['outside', 80, 'goes-on'], {}));
    for (const ending of endings) {
      expect(limit.endings).toContain(ending.signal ?? ending.code);
      expect(reported(ending)).toEqual([]);
    }
  });

  it('a job that stops eating when it is interrupted has its time to clean up', async () => {
    const ending = await eat(['outside', 10, 'notices', isGroup ? 390 : 100], WATCH, {
      under: roomyLimit,
    });
    expectReport(ending);
    expect(envelopesIn(ending.stdout)[0]?.data.progress, tell(ending)).toBe('stopped');
  });
});

describe("a process that fills V8's heap", () => {
  const flags = ['--max-old-space-size=128'];

  it(
    'A01: reports its job before V8 ends it, every time, and goes on eating all the while',
    async () => {
      const endings = await eatOften(runs(20), () =>
        eat(['heap', 40, 'goes-on'], WATCH, { flags, under: roomyLimit }),
      );
      expect(endings.length).toBeGreaterThan(1);
      expectReports(endings, HEAP_ENDINGS);
      expect(endings[0]?.stderr).toMatch(/V8's heap is nearly used up: \d+ MiB of 128 MiB/);
    },
    MOST_MS,
  );

  it('A01, negative twin: without the watch V8 ends it, and nobody is told', async () => {
    const ending = await eat(['heap', 40, 'goes-on'], {}, { flags, under: roomyLimit });
    expect(HEAP_ENDINGS).toContain(ending.signal ?? ending.code);
    expect(reported(ending)).toEqual([]);
  });
});

describe('a limit that is given as a number', () => {
  it('A01: begins the shutdown when so much is resident, with nothing else to limit it', async () => {
    const ending = await start('memory.js', {
      args: ['outside', '100', 'notices'],
      env: { SHUTDOWN_MEMORY_LIMIT: '150MiB', SHUTDOWN_BUDGET_MS: '1000' },
    }).ended;
    expectReport(ending);
    expect(ending.stderr).toContain("this process's resident memory is over its limit: ");
  });
});
