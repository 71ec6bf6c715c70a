import { describe, expect, it } from 'vitest';
import { fitTitle, type TitleFacts } from '../../../supervisor/manners/process-title.js';

const PRIMARY: TitleFacts = { role: 'primary', exec: '/srv/app.js', workers: 2 };

describe('the title of a process', () => {
  it.each<[TitleFacts, string]>([
    [PRIMARY, 'shutdown-bus: primary app.js (2 workers)'],
    [{ ...PRIMARY, workers: 1 }, 'shutdown-bus: primary app.js (1 worker)'],
    [{ ...PRIMARY, workers: 0 }, 'shutdown-bus: primary app.js (0 workers)'],
    [{ ...PRIMARY, isStopping: true }, 'shutdown-bus: primary app.js (2 workers) stopping'],
    [{ role: 'worker 1', exec: 'app.js' }, 'shutdown-bus: worker 1 app.js'],
    [{ role: 'worker 12', exec: 'app.js', isStopping: true }, 'shutdown-bus: worker 12 app.js stopping'],
  ])('%j', (facts, title) => {
    expect(fitTitle(facts, Number.POSITIVE_INFINITY)).toBe(title);
  });

  it.each([
    [49, 'shutdown-bus: primary app.js (2 workers) stopping'],
    [48, 'shutdown-bus: primary app.js stopping'],
    [37, 'shutdown-bus: primary app.js stopping'],
    [36, 'shutdown-bus: primary stopping'],
    [30, 'shutdown-bus: primary stopping'],
    [29, 'primary app.js stopping'],
    [22, 'primary stopping'],
    [15, 'primary'],
    [7, 'primary'],
    [6, undefined],
    [-1, undefined],
  ])('in %i bytes', (bytes, title) => {
    expect(fitTitle({ ...PRIMARY, isStopping: true }, bytes)).toBe(title);
  });

  it('bytes count, not letters', () => {
    const facts: TitleFacts = { role: 'worker 1', exec: 'größe.js' };
    expect(fitTitle(facts, 33)).toBe('shutdown-bus: worker 1 größe.js');
    expect(fitTitle(facts, 32)).toBe('shutdown-bus: worker 1');
  });
});
