import cluster from 'node:cluster';
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { supervise } from '../../supervisor/index.js';

const undo: (() => unknown)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

/** What a supervisor changes in its process as soon as it is made. */
const traces = () => [
  (net as unknown as { _createServerHandle: unknown })._createServerHandle,
  process.listenerCount('SIGTERM'),
  process.listenerCount('SIGHUP'),
  cluster.settings,
];

describe('supervise', () => {
  it('is refused in a worker, which would supervise itself', () => {
    const { isPrimary } = cluster;
    Object.assign(cluster, { isPrimary: false });
    undo.push(() => Object.assign(cluster, { isPrimary }));
    expect(() => supervise({ exec: 'app.js' })).toThrow(
      expect.objectContaining({
        code: 'INVALID_OPTION',
        message: expect.stringMatching(
          /^supervise was called in a worker: the program that workers run \(exec\)/,
        ),
      }),
    );
  });

  it('is refused where there are workers already: all of node:cluster run one program', () => {
    const workers = cluster.workers as NodeJS.Dict<unknown>;
    workers[7] = {};
    undo.push(() => delete workers[7]);
    const before = traces();
    expect(() => supervise({ exec: 'app.js' })).toThrow(
      expect.objectContaining({
        code: 'INVALID_OPTION',
        message: expect.stringContaining('call it once, and fork no workers yourself'),
      }),
    );
    expect(traces()).toEqual(before);
  });

  it('with bad options changes nothing in its process', () => {
    const before = traces();
    expect(() => supervise({ exec: 'app.js', workers: 0, platform: 'moon' as never })).toThrow(
      /workers is 0.*platform is "moon"/,
    );
    expect(traces()).toEqual(before);
  });
});
