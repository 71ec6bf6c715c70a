import { describe, expect, it } from 'vitest';
import type { Crew } from '../../../supervisor/crew/crew.js';
import { Rolling } from '../../../supervisor/crew/rolling.js';
import type { WorkerProcess } from '../../../supervisor/crew/worker-process.js';
import type { ReloadReport, WorkerState } from '../../../supervisor/events.js';
import { lineLogger, settle } from '../../test-bus.js';

/** A worker that becomes ready, or ends, when the test says so. */
class FakeWorker {
  readonly pid: number;
  readonly started: Promise<boolean>;
  readonly ended: Promise<void>;
  state: WorkerState = 'starting';
  isAsked = false;
  #hasStarted!: (isReady: boolean) => void;
  #hasEnded!: () => void;

  constructor(readonly id: number) {
    this.pid = 1000 + id;
    this.started = new Promise((resolve) => {
      this.#hasStarted = resolve;
    });
    this.ended = new Promise((resolve) => {
      this.#hasEnded = resolve;
    });
  }

  becomeReady(): void {
    this.state = 'ready';
    this.#hasStarted(true);
  }

  die(): void {
    this.state = 'ended';
    this.#hasStarted(false);
    this.#hasEnded();
  }
}

class FakeCrew {
  /** `start 3`, `end 1`, in order, each with how many were ready then. */
  readonly story: string[] = [];
  readonly workers: FakeWorker[] = [];
  /** What the next start throws. */
  failure: Error | undefined;

  get serving(): readonly FakeWorker[] {
    return this.workers.filter(({ state }) => state === 'starting' || state === 'ready');
  }

  get ready(): number {
    return this.workers.filter(({ state }) => state === 'ready').length;
  }

  worker(id: number): FakeWorker {
    return this.workers[id - 1] as FakeWorker;
  }

  /** What `fill` starts, once. */
  missing = 0;

  fill(): FakeWorker[] {
    const started = Array.from({ length: this.missing }, () => this.start());
    this.missing = 0;
    return started;
  }

  start(): FakeWorker {
    if (this.failure !== undefined) throw this.failure;
    const worker = new FakeWorker(this.workers.length + 1);
    this.workers.push(worker);
    this.story.push(`start ${worker.id}`);
    return worker;
  }

  end(worker: FakeWorker): Promise<void> {
    worker.isAsked = true;
    if (worker.state !== 'ended') worker.state = 'stopping';
    this.story.push(`end ${worker.id}, ${this.ready} ready`);
    return worker.ended;
  }
}

interface Scene {
  readonly crew: FakeCrew;
  readonly rolling: Rolling;
  readonly lines: string[];
  readonly finished: ReloadReport[];
  readonly begun: number[];
  replace(id: number): Promise<void>;
  stop(): void;
}

/** So many workers, all ready. */
function scene(workers: number): Scene {
  const crew = new FakeCrew();
  for (let id = 1; id <= workers; id += 1) crew.start().becomeReady();
  crew.story.length = 0;
  const { lines, ...log } = lineLogger();
  const [finished, begun]: [ReloadReport[], number[]] = [[], []];
  let isRunning = true;
  const rolling = new Rolling({
    crew: crew as unknown as Crew,
    log,
    isRunning: () => isRunning,
    begun: (count) => void begun.push(count),
    finished: (report) => void finished.push(report),
  });
  return {
    crew,
    rolling,
    lines,
    finished,
    begun,
    replace: (id) => rolling.replace(crew.worker(id) as unknown as WorkerProcess),
    stop: () => {
      isRunning = false;
    },
  };
}

/** Whether it has settled by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.finally(() => {
    settled = true;
  });
  await settle();
  return settled;
}

/** Lets everybody become ready, and everybody who was asked end, until nothing changes any more. */
async function letRun(crew: FakeCrew): Promise<void> {
  for (let before = -1; before !== crew.story.length; ) {
    before = crew.story.length;
    for (const worker of crew.workers) {
      if (worker.state === 'starting') worker.becomeReady();
      else if (worker.state === 'stopping') worker.die();
    }
    await settle();
  }
}

describe('a rolling reload', () => {
  it('D19: starts the next worker only when the one before is ready, and ends an old one only then', async () => {
    const { crew, rolling } = scene(2);
    const reloaded = rolling.reload();
    await settle();
    expect(crew.story).toEqual(['start 3']);
    crew.worker(3).becomeReady();
    await settle();
    expect(crew.story).toEqual(['start 3', 'end 1, 2 ready', 'start 4']);
    crew.worker(4).becomeReady();
    await settle();
    expect(crew.story.slice(3)).toEqual(['end 2, 2 ready']);
    expect(await isSettled(reloaded)).toBe(false);
    crew.worker(2).die();
    expect(await isSettled(reloaded)).toBe(false);
    crew.worker(1).die();
    expect(await reloaded).toMatchObject({ outcome: 'restarted', workers: 2 });
  });

  it.each([0, 1, 2, 7])('of %i workers never leaves fewer ready than before', async (count) => {
    const { crew, rolling, begun, finished } = scene(count);
    const reloaded = rolling.reload();
    await letRun(crew);
    const report = await reloaded;
    expect(report).toEqual({ outcome: 'restarted', workers: count, durationMs: expect.any(Number) });
    expect([begun, finished]).toEqual([[count], [report]]);
    const ends = crew.story.filter((line) => line.startsWith('end'));
    expect(ends).toEqual(Array.from({ length: count }, (_, index) => `end ${index + 1}, ${count} ready`));
    expect(crew.serving.map(({ id }) => id)).toEqual(
      Array.from({ length: count }, (_, index) => count + index + 1),
    );
  });

  it('starts those first that were waiting for a pause to end, and replaces the others when these are ready', async () => {
    const { crew, rolling, begun } = scene(1);
    crew.missing = 2;
    const reloaded = rolling.reload();
    await settle();
    expect(crew.story).toEqual(['start 2', 'start 3']);
    crew.worker(2).becomeReady();
    await settle();
    expect(crew.story).toHaveLength(2);
    await letRun(crew);
    expect(crew.story.slice(2)).toEqual(['start 4', 'end 1, 3 ready']);
    expect(await reloaded).toMatchObject({ outcome: 'restarted', workers: 3 });
    expect(begun).toEqual([3]);
  });

  it('is given up when one of those does not become ready', async () => {
    const { crew, rolling, lines } = scene(0);
    crew.missing = 1;
    const reloaded = rolling.reload();
    await settle();
    crew.worker(1).die();
    expect(await reloaded).toMatchObject({ outcome: 'given-up', workers: 0 });
    expect(lines.join('\n')).toContain('worker 1 (pid 1001) did not become ready');
  });

  it('is under way from the call until the last old worker is gone', async () => {
    const { crew, rolling } = scene(1);
    expect(rolling.isReloading).toBe(false);
    const reloaded = rolling.reload();
    expect(rolling.isReloading).toBe(true);
    await settle();
    crew.worker(2).becomeReady();
    await settle();
    expect(rolling.isReloading).toBe(true);
    crew.worker(1).die();
    await reloaded;
    expect(rolling.isReloading).toBe(false);
  });

  it('is given up when a new worker does not become ready: the old ones go on', async () => {
    const { crew, rolling, lines, finished } = scene(3);
    const reloaded = rolling.reload();
    await settle();
    crew.worker(4).becomeReady();
    await settle();
    crew.worker(5).die();
    expect(await reloaded).toMatchObject({ outcome: 'given-up', workers: 1 });
    expect(finished).toHaveLength(1);
    expect(crew.story).toEqual(['start 4', 'end 1, 3 ready', 'start 5']);
    expect(crew.serving.map(({ id }) => id)).toEqual([2, 3, 4]);
    expect(lines.at(-1)).toBe(
      'worker 5 (pid 1005) did not become ready; worker 2 (pid 1002) stays, and what was to be replaced after it',
    );
  });

  it('can be tried again after it was given up', async () => {
    const { crew, rolling } = scene(1);
    const first = rolling.reload();
    await settle();
    crew.worker(2).die();
    expect((await first).outcome).toBe('given-up');
    const second = rolling.reload();
    await letRun(crew);
    expect(await second).toMatchObject({ outcome: 'restarted', workers: 1 });
    expect(crew.serving.map(({ id }) => id)).toEqual([3]);
  });

  it('is given up when no worker can be started, and that spoils none that comes after', async () => {
    const { crew, rolling, lines, replace } = scene(1);
    crew.failure = new Error('spawn ENOMEM');
    expect(await rolling.reload()).toMatchObject({ outcome: 'given-up', workers: 0 });
    expect(lines.at(-1)).toMatch(/^no worker can be started: spawn ENOMEM; worker 1 \(pid 1001\) stays/);
    await replace(1);
    expect(crew.serving.map(({ id }) => id)).toEqual([1]);
    crew.failure = undefined;
    const second = rolling.reload();
    await letRun(crew);
    expect((await second).outcome).toBe('restarted');
  });

  it('asked for during one, another one follows, for what the first has started as well', async () => {
    const { crew, rolling, finished } = scene(2);
    const first = rolling.reload();
    const [second, third] = [rolling.reload(), rolling.reload()];
    expect(second).toBe(third);
    expect(second).not.toBe(first);
    await letRun(crew);
    expect([(await first).workers, (await second).workers]).toEqual([2, 2]);
    expect(finished).toHaveLength(2);
    expect(crew.story.filter((line) => line.startsWith('end'))).toEqual([
      'end 1, 2 ready',
      'end 2, 2 ready',
      'end 3, 2 ready',
      'end 4, 2 ready',
    ]);
    expect(rolling.isReloading).toBe(false);
  });

  it('the one that follows begins only when the last old worker of the first is gone', async () => {
    const { crew, rolling } = scene(1);
    const first = rolling.reload();
    const second = rolling.reload();
    await settle();
    crew.worker(2).becomeReady();
    await settle();
    expect(crew.story).toEqual(['start 2', 'end 1, 1 ready']);
    crew.worker(1).die();
    await first;
    await settle();
    expect(crew.story.at(-1)).toBe('start 3');
    await letRun(crew);
    expect((await second).outcome).toBe('restarted');
  });

  it('a worker that died meanwhile needs no successor of ours', async () => {
    const { crew, rolling } = scene(3);
    const reloaded = rolling.reload();
    await settle();
    crew.worker(2).die();
    // The crew has one started in its place.
    crew.start().becomeReady();
    crew.worker(4).becomeReady();
    await letRun(crew);
    expect(await reloaded).toMatchObject({ outcome: 'restarted', workers: 3 });
    expect(crew.story.filter((line) => line.startsWith('start'))).toEqual(['start 4', 'start 5', 'start 6']);
    expect(crew.serving).toHaveLength(3);
  });

  it('a worker that dies while its successor starts is waited for no longer', async () => {
    const { crew, rolling } = scene(1);
    const reloaded = rolling.reload();
    await settle();
    crew.worker(1).die();
    await settle();
    crew.worker(2).becomeReady();
    expect(await reloaded).toMatchObject({ outcome: 'restarted', workers: 1 });
    expect(crew.serving.map(({ id }) => id)).toEqual([2]);
  });

  it('goes on when there are to be fewer meanwhile, and its new worker was the one that went', async () => {
    const { crew, rolling, lines } = scene(3);
    const reloaded = rolling.reload();
    await settle();
    // Two from now on: the youngest go.
    for (const id of [3, 4]) void crew.end(crew.worker(id));
    crew.story.length = 0;
    await letRun(crew);
    expect(await reloaded).toMatchObject({ outcome: 'restarted', workers: 3 });
    expect(crew.story).toEqual(['start 5', 'end 1, 2 ready', 'start 6', 'end 2, 2 ready']);
    expect(crew.serving.map(({ id }) => id)).toEqual([5, 6]);
    expect(lines.filter((line) => line.includes('stays'))).toEqual([]);
  });

  it('waits for an old worker that is on its way out already, without asking it again', async () => {
    const { crew, rolling } = scene(2);
    const reloaded = rolling.reload();
    await settle();
    void crew.end(crew.worker(2));
    crew.worker(3).becomeReady();
    await settle();
    crew.worker(1).die();
    expect(await isSettled(reloaded)).toBe(false);
    crew.worker(2).die();
    expect(await reloaded).toMatchObject({ outcome: 'restarted' });
    expect(crew.story.filter((line) => line.startsWith('end 2'))).toHaveLength(1);
  });

  it('a stop ends it: nobody is asked to end, nobody started', async () => {
    const { crew, rolling, stop, lines } = scene(2);
    const reloaded = rolling.reload();
    await settle();
    stop();
    crew.worker(3).becomeReady();
    expect(await reloaded).toMatchObject({ outcome: 'stopped', workers: 0 });
    expect(crew.story).toEqual(['start 3']);
    expect(lines.filter((line) => line.includes('stays'))).toEqual([]);
  });

  it('a stop while a new worker is not ready is no failure of that worker', async () => {
    const { crew, rolling, stop, lines } = scene(1);
    const reloaded = rolling.reload();
    await settle();
    stop();
    crew.worker(2).die();
    expect((await reloaded).outcome).toBe('stopped');
    expect(lines.filter((line) => line.includes('stays'))).toEqual([]);
  });

  it('after a stop there is none', async () => {
    const { crew, rolling, stop } = scene(2);
    stop();
    expect(await rolling.reload()).toMatchObject({ outcome: 'stopped', workers: 0 });
    expect(crew.story).toEqual([]);
  });
});

describe('a worker that has served for long enough', () => {
  it('is asked to end when its successor is ready', async () => {
    const { crew, replace } = scene(2);
    const replaced = replace(1);
    await settle();
    expect(crew.story).toEqual(['start 3']);
    crew.worker(3).becomeReady();
    await replaced;
    expect(crew.story).toEqual(['start 3', 'end 1, 2 ready']);
  });

  it('stays when its successor does not become ready', async () => {
    const { crew, replace } = scene(2);
    const replaced = replace(1);
    await settle();
    crew.worker(3).die();
    await replaced;
    expect(crew.serving.map(({ id }) => id)).toEqual([1, 2]);
  });

  it('waits for its turn, one at a time', async () => {
    const { crew, replace } = scene(2);
    void replace(1);
    const second = replace(2);
    await settle();
    expect(crew.story).toEqual(['start 3']);
    await letRun(crew);
    await second;
    expect(crew.story).toEqual(['start 3', 'end 1, 2 ready', 'start 4', 'end 2, 2 ready']);
  });

  it('is not replaced twice when a reload does it meanwhile', async () => {
    const { crew, rolling, replace } = scene(1);
    const reloaded = rolling.reload();
    const replaced = replace(1);
    await letRun(crew);
    await Promise.all([reloaded, replaced]);
    expect(crew.story.filter((line) => line.startsWith('start'))).toEqual(['start 2']);
    expect(crew.serving.map(({ id }) => id)).toEqual([2]);
  });

  it('makes a reload wait, which then has its successor to replace', async () => {
    const { crew, rolling, replace } = scene(1);
    void replace(1);
    const reloaded = rolling.reload();
    await settle();
    expect(crew.story).toEqual(['start 2']);
    await letRun(crew);
    expect(await reloaded).toMatchObject({ outcome: 'restarted', workers: 1 });
    expect(crew.serving.map(({ id }) => id)).toEqual([3]);
  });
});
