import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ShutdownReport } from '../../src/index.js';
import { type Child, type Ending, start } from './child.js';
import { pidsWith } from './processes.js';
import { runs } from './runs.js';

const undo: (() => unknown)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

interface Plan {
  readonly bus?: object;
  readonly env?: object;
  readonly does?: string;
  readonly children: readonly {
    readonly args: readonly string[];
    readonly options?: object;
    readonly spawned?: boolean;
    readonly released?: boolean;
  }[];
}

interface Scene {
  readonly service: Child;
  /** Who did what, in order. */
  notes(): { who: string; what: string; pid?: number }[];
  /** The same as texts. */
  story(): string[];
  /** Everybody of this scene who lives: the service, its children and theirs, the shell that watches over them. */
  alive(): number[];
}

async function openScene(plan: Plan, options: Parameters<typeof start>[1] = {}): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
  const file = join(folder, 'notes');
  writeFileSync(file, '');
  const env = { NOTES: file, PLAN: JSON.stringify(plan), ...options.env };
  const alive = () => pidsWith('NOTES', file);
  undo.push(() => {
    for (const pid of alive()) process.kill(pid, 'SIGKILL');
    rmSync(folder, { recursive: true });
  });
  const service = start('children-service.js', { ...options, env });
  await service.line('ready\n');
  const notes = () =>
    readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter(({ what }) => what !== 'ready');
  return { service, notes, story: () => notes().map(({ who, what }) => `${who} ${what}`), alive };
}

async function terminate({ service }: Scene, signal: NodeJS.Signals = 'SIGTERM'): Promise<Ending> {
  service.kill(signal);
  return service.ended;
}

function reportIn({ stdout }: Ending): ShutdownReport {
  return JSON.parse(stdout.split('\n').find((line) => line.startsWith('{"reason"')) ?? 'null');
}

function childIn(ending: Ending) {
  return reportIn(ending).handlers.find(({ name }) => name.startsWith('stop child'));
}

/** The shell that watches over the children has done all it had to. */
const guardGone = async (scene: Scene) =>
  vi.waitFor(() => expect(guardsOf(scene)).toEqual([]), { timeout: 15_000, interval: 20 });

const gone = async (scene: Scene) =>
  vi.waitFor(() => expect(scene.alive()).toEqual([]), { timeout: 15_000, interval: 20 });

describe('children of a service', () => {
  it('D01 D02 D04 D05 D06 D22 D23: SIGTERM reaches every child with the drain, and the service waits until they have cleaned up', async () => {
    const scene = await openScene({
      children: [{ args: ['persists', '300'] }, { args: ['persists', '100'], spawned: true }],
    });
    const ending = await terminate(scene);
    expect(ending.code).toBe(0);
    const story = scene.story();
    expect(story.slice(0, 2)).toEqual(['service intake', 'service drain']);
    expect(story.slice(2, 4)).toEqual(['persists SIGTERM', 'persists SIGTERM']);
    expect(story.slice(4)).toEqual(['persists persisted', 'persists persisted', 'service release']);
    const handlers = reportIn(ending).handlers.filter(({ name }) => name === 'stop child node');
    expect(handlers).toMatchObject(
      [
        {
          phase: 'drain',
          outcome: 'done',
          details: { state: 'ended', by: 'asked', code: 0, group: undefined },
        },
        { phase: 'drain', outcome: 'done', details: { state: 'ended', by: 'asked', code: 0, group: true } },
      ].map(({ details: { group, ...details }, ...rest }) => ({
        ...rest,
        details: { ...details, ...(group && { group }) },
      })),
    );
    await gone(scene);
  });

  it('service-first: the child goes on until every other handler has run', async () => {
    const scene = await openScene({
      children: [{ args: ['persists'], options: { order: 'service-first' } }],
    });
    await terminate(scene);
    expect(scene.story()).toEqual([
      'service intake',
      'service drain',
      'service release',
      'persists SIGTERM',
      'persists persisted',
    ]);
    await gone(scene);
  });

  it('D02: the signal is the one that was asked for', async () => {
    const scene = await openScene({ children: [{ args: ['persists'], options: { signal: 'SIGHUP' } }] });
    await terminate(scene);
    expect(scene.story()).toContain('persists SIGHUP');
    expect(scene.story()).not.toContain('persists SIGTERM');
  });

  it('D08 D10: a child that ignores the signal is killed at its limit, and the report says so', async () => {
    const scene = await openScene({
      children: [{ args: ['ignores'], options: { timeoutMs: 400, name: 'mule' } }],
    });
    const ending = await terminate(scene);
    const { details, registeredAt } = childIn(ending) as {
      details: Record<string, number>;
      registeredAt: string;
    };
    expect(registeredAt).toMatch(/fixtures\/children-service\.js:\d+:\d+$/);
    expect(details).toMatchObject({ by: 'killed', signal: 'SIGKILL', timeoutMs: 400 });
    expect(details.tookMs).toBeGreaterThanOrEqual(400);
    expect(ending.stderr).toMatch(/child "mule" \(pid \d+\) did not end in 400 ms after SIGTERM: SIGKILL/);
    expect(ending.code).toBe(0);
    await gone(scene);
  });

  it('D09: where the shutdown has less time than the child, the child has less: SIGKILL comes before the reports are due', async () => {
    const scene = await openScene({
      bus: { budgetMs: 3000, reserveMs: 1500 },
      children: [{ args: ['ignores'], options: { timeoutMs: 60_000 } }],
    });
    const ending = await terminate(scene);
    const child = childIn(ending);
    expect(child).toMatchObject({ outcome: 'done', details: { by: 'killed' } });
    expect(child?.durationMs).toBeLessThan(1500);
    await gone(scene);
  });

  it('D24: one that was released goes on, one that has ended before is not waited for', async () => {
    const scene = await openScene({
      children: [{ args: ['persists'], released: true }, { args: ['leaves'] }],
    });
    await scene.service.line('ended by itself');
    const [released] = pidsOf(scene);
    const ending = await terminate(scene);
    await guardGone(scene);
    expect(reportIn(ending).handlers.filter(({ name }) => name.startsWith('stop child'))).toEqual([]);
    expect(scene.story()).not.toContain('persists SIGTERM');
    expect(scene.alive()).toContain(released);
  });

  it('D24: a child is stopped at run time, and the shutdown knows nothing of it', async () => {
    const scene = await openScene({ children: [{ args: ['ignores'] }], does: 'stops its child' });
    const ending = await scene.service.ended;
    const told = JSON.parse(ending.stdout.match(/ending (.*)/)?.[1] ?? 'null');
    expect(told).toMatchObject({ code: null, signal: 'SIGKILL', by: 'killed' });
    expect(told.tookMs).toBeGreaterThanOrEqual(300);
  });

  it('in a group of its own everybody that the child has started ends with it', async () => {
    const scene = await openScene({
      children: [{ args: ['spawns'], spawned: true, options: { timeoutMs: 500 } }],
    });
    await terminate(scene);
    expect(scene.story()).toContain('ignores SIGTERM');
    await gone(scene);
  });

  it('negative twin: without a group the grandchild is left behind', async () => {
    const scene = await openScene({ children: [{ args: ['spawns'], options: { timeoutMs: 500 } }] });
    await terminate(scene);
    await guardGone(scene);
    expect(scene.story()).not.toContain('ignores SIGTERM');
    expect(scene.alive()).toHaveLength(1);
  });

  it('a group whose leader has left is still ended', async () => {
    const scene = await openScene({
      children: [{ args: ['leaves'], spawned: true, options: { timeoutMs: 300 } }],
    });
    expect(childIn(await terminate(scene))).toMatchObject({ details: { by: 'killed' } });
    await gone(scene);
  });

  it('SIGQUIT leaves out the drain, and not the children', async () => {
    const scene = await openScene({ children: [{ args: ['persists', '50'] }] });
    await terminate(scene, 'SIGQUIT');
    expect(scene.story()).toEqual([
      'service intake',
      'persists SIGTERM',
      'persists persisted',
      'service release',
    ]);
  });

  it(`${runs(50)} runs: one ignores SIGTERM and is gone at its limit, one needs its time and gets it, and none is left behind`, async () => {
    for (let run = 0; run < runs(50); run += 1) {
      const scene = await openScene({
        children: [
          { args: ['ignores'], options: { timeoutMs: 2500 }, spawned: true },
          { args: ['persists', '2000'], spawned: true },
        ],
      });
      const ending = await terminate(scene);
      expect(ending.code).toBe(0);
      expect(scene.story()).toContain('persists persisted');
      expect(ending.afterKillMs).toBeGreaterThan(2500);
      await gone(scene);
    }
  }, 300_000);
});

describe('a service that ends without a shutdown', () => {
  const two: Plan['children'] = [
    { args: ['persists', '300'], spawned: true },
    { args: ['ignores'], options: { timeoutMs: 600 } },
  ];

  it('killed: its children get their signal and their time all the same, and none is left behind', async () => {
    const scene = await openScene({ children: two });
    await terminate(scene, 'SIGKILL');
    await gone(scene);
    expect(scene.story()).toEqual(
      expect.arrayContaining(['persists SIGTERM', 'persists persisted', 'ignores SIGTERM']),
    );
  });

  it('negative twin: those that may outlive it do', async () => {
    const outlive = two.map((child) => ({ ...child, options: { ...child.options, mayOutlive: true } }));
    const third = { args: ['persists', '0'], options: { signal: 'SIGHUP' } };
    const scene = await openScene({ children: [...outlive, third] });
    await terminate(scene, 'SIGKILL');
    await guardGone(scene);
    expect(scene.alive().sort()).toEqual(pidsOf(scene).slice(0, 2).sort());
    expect(scene.story()).toEqual(['persists SIGHUP', 'persists persisted']);
  });

  it('process.exit: the same', async () => {
    const scene = await openScene({ children: two, does: 'exits' });
    expect((await scene.service.ended).code).toBe(3);
    await gone(scene);
    expect(scene.story()).toContain('persists persisted');
  });

  it('a blocked event loop, ended by the watchdog at the deadline: the same', async () => {
    const scene = await openScene({ bus: { budgetMs: 800 }, children: two, does: 'blocks' });
    await terminate(scene);
    await gone(scene);
    expect(scene.story()).toContain('persists persisted');
  });

  it('the shell that watches over them is started anew when somebody ends it', async () => {
    const scene = await openScene({ children: two });
    const [shell] = guardsOf(scene);
    process.kill(shell as number, 'SIGKILL');
    await vi.waitFor(() => {
      const now = guardsOf(scene);
      expect(now).toHaveLength(1);
      expect(now).not.toContain(shell);
    });
    await terminate(scene, 'SIGKILL');
    await gone(scene);
    expect(scene.story()).toContain('persists persisted');
  });
});

describe('a signal that somebody sends to everybody', () => {
  const counting = (options: object = {}): Plan['children'] => [{ args: ['persists', '200'], options }];

  it('Heroku: the child hears SIGTERM once', async () => {
    const scene = await openScene({ children: counting() }, { env: { DYNO: 'web.1' } });
    process.kill(pidsOf(scene)[0] as number, 'SIGTERM');
    await terminate(scene);
    expect(scene.story().filter((line) => line === 'persists SIGTERM')).toHaveLength(1);
    expect(scene.story()).toContain('persists persisted');
  });

  it('negative twin: it is not Heroku, and the child hears it twice', async () => {
    const scene = await openScene({ children: counting() });
    process.kill(pidsOf(scene)[0] as number, 'SIGTERM');
    await vi.waitFor(() => expect(scene.story()).toContain('persists SIGTERM'));
    await terminate(scene);
    expect(scene.story().filter((line) => line === 'persists SIGTERM')).toHaveLength(2);
  });

  it('systemd: the same, for the main process of a unit and whoever is in its control group', async () => {
    const scene = await openScene({ env: { SYSTEMD_EXEC_PID: 'own pid' }, children: counting() });
    process.kill(pidsOf(scene)[0] as number, 'SIGTERM');
    await terminate(scene);
    expect(scene.story().filter((line) => line === 'persists SIGTERM')).toHaveLength(1);
  });

  it('nobody has sent it after all: the child hears it while there is a quarter of its time left', async () => {
    const scene = await openScene({
      env: { SYSTEMD_EXEC_PID: 'own pid' },
      children: [{ args: ['persists', '50'], options: { timeoutMs: 1200 } }],
    });
    const ending = await terminate(scene);
    expect(childIn(ending)).toMatchObject({ details: { by: 'asked', code: 0 } });
    expect(ending.afterKillMs).toBeGreaterThan(900);
    expect(scene.story()).toContain('persists persisted');
  });

  it.each([
    ['its own signal is another one', { signal: 'SIGHUP' }, 'persists SIGHUP'],
    ['it is told that nobody has sent it, as with KillMode=mixed', { signalled: false }, 'persists SIGTERM'],
  ])('systemd: the child is asked at once when %s', async (_, options, heard) => {
    const scene = await openScene({
      env: { SYSTEMD_EXEC_PID: 'own pid' },
      bus: { budgetMs: 60_000 },
      children: [{ args: ['persists', '50'], options: { timeoutMs: 20_000, ...options } }],
    });
    const ending = await terminate(scene);
    expect(childIn(ending)).toMatchObject({ details: { by: 'asked', code: 0 } });
    // Three quarters of its time would be 15 s.
    expect(ending.afterKillMs).toBeLessThan(10_000);
    expect(scene.story()).toContain(heard);
  });

  it('the service is killed while the signal is held back: the child hears it all the same', async () => {
    const scene = await openScene({
      env: { SYSTEMD_EXEC_PID: 'own pid' },
      bus: { budgetMs: 60_000 },
      children: [{ args: ['persists', '50'], options: { timeoutMs: 20_000 } }],
    });
    scene.service.kill('SIGTERM');
    await vi.waitFor(() => expect(scene.story()).toContain('service drain'), { timeout: 15_000 });
    await terminate(scene, 'SIGKILL');
    await vi.waitFor(() => expect(scene.story()).toContain('persists persisted'), { timeout: 15_000 });
  });

  it('the service is killed when the signal was sent: the child has what is left of its time, not the whole', async () => {
    const scene = await openScene({
      env: { SYSTEMD_EXEC_PID: 'own pid' },
      bus: { budgetMs: 30_000 },
      children: [{ args: ['ignores'], options: { timeoutMs: 6000 } }],
    });
    scene.service.kill('SIGTERM');
    await vi.waitFor(() => expect(scene.story()).toContain('ignores SIGTERM'), { timeout: 15_000 });
    const killedAt = performance.now();
    await terminate(scene, 'SIGKILL');
    await gone(scene);
    expect(performance.now() - killedAt).toBeLessThan(4500);
    expect(scene.story().filter((line) => line === 'ignores SIGTERM')).toHaveLength(1);
  });

  const hasScript = spawnSync('script', ['--version']).status === 0;
  const onTerminal = async (options: object) => {
    const folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-'));
    const notes = join(folder, 'notes');
    writeFileSync(notes, '');
    undo.push(() => rmSync(folder, { recursive: true }));
    const service = fileURLToPath(new URL('./fixtures/children-service.js', import.meta.url));
    const env = { NOTES: notes, PLAN: JSON.stringify({ children: counting(options) }) };
    const child = start('in-terminal.js', { args: [service], env });
    await child.line('ready');
    child.process.stdin?.write('\x03');
    await child.ended;
    return readFileSync(notes, 'utf8')
      .match(/persists".*?"what":"(SIG\w+)/g)
      ?.map((text) => text.slice(-7).replace(/^"/, ''));
  };

  // `script` (bsdutils) makes the terminal.
  it.skipIf(!hasScript)(
    'a terminal: Ctrl-C reaches the child itself, and SIGTERM is not sent on top',
    async () => {
      expect(await onTerminal({})).toEqual(['SIGINT']);
    },
  );

  it.skipIf(!hasScript)('negative twin: told that nobody has sent it, the child hears both', async () => {
    expect(await onTerminal({ signalled: false })).toEqual(['SIGINT', 'SIGTERM']);
  });
});

function pidsOf({ service }: Scene): number[] {
  return (service.texts().stdout.match(/pids (.*)/)?.[1] ?? '').split(' ').map(Number);
}

function guardsOf(scene: Scene): number[] {
  return scene.alive().filter((pid) => commandOf(pid).includes('shutdown-bus-guard'));
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
