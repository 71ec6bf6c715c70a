import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Runtime } from 'node:inspector';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runInNewContext } from 'node:vm';
import { afterAll, describe, expect, it } from 'vitest';
import { formatStack, QUESTION } from '../../../supervisor/blocked-stack/call-frames.js';

const folder = mkdtempSync(join(tmpdir(), 'call-frames-'));
afterAll(() => rmSync(folder, { recursive: true }));

function frame(functionName: string, url: string, lineNumber = 0, columnNumber = 0): Runtime.CallFrame {
  return { functionName, url, lineNumber, columnNumber, scriptId: '1' };
}

/** `work.js` made of `work.ts`: its first line, of the third there, from the fifth column. */
const MAP = { version: 3, file: 'work.js', sources: ['src/work.ts'], names: [], mappings: 'AAEI' };

function compiled(name: string, comment: string): string {
  const path = join(folder, name);
  writeFileSync(path, `work();\n//# sourceMappingURL=${comment}\n`);
  return pathToFileURL(path).href;
}

describe('a stack', () => {
  it('of no frames is empty, also when only the question is in it', () => {
    const [, own = ''] = QUESTION.split('sourceURL=');
    expect(formatStack([], false)).toBe('');
    expect(formatStack([frame('', own)], true)).toBe('');
  });

  it('counts lines and columns from 1, and names what has no name by its place', () => {
    const frames = [
      frame('work', 'file:///app/a%20b.js', 2, 8),
      frame('', 'file:///app/c.js'),
      frame('e', ''),
    ];
    expect(formatStack(frames, false)).toBe(
      ['    at work (/app/a b.js:3:9)', '    at /app/c.js:1:1', '    at e (<anonymous>:1:1)'].join('\n'),
    );
  });

  it('has functions of Node only if there are no others', () => {
    const timers = frame('listOnTimeout', 'node:internal/timers', 580, 16);
    expect(formatStack([frame('work', 'a.js'), timers], false)).toBe('    at work (a.js:1:1)');
    expect(formatStack([timers], false)).toBe('    at listOnTimeout (node:internal/timers:581:17)');
  });

  it('of 50 frames is shown as a whole, of 51 says that there are more', () => {
    const deep = (count: number) => formatStack(Array(count).fill(frame('down', 'a.js')), false).split('\n');
    expect(deep(50).at(-1)).toBe('    at down (a.js:1:1)');
    expect(deep(50)).toHaveLength(50);
    expect(deep(51).slice(49)).toEqual(['    at down (a.js:1:1)', '    … 1 more or deeper']);
  });
});

describe('source maps', () => {
  const data = Buffer.from(JSON.stringify(MAP)).toString('base64');

  it('lead to the source, from a file beside it or from within', () => {
    writeFileSync(join(folder, 'beside.js.map'), JSON.stringify(MAP));
    for (const url of [
      compiled('beside.js', 'beside.js.map'),
      compiled('within.js', `data:application/json;charset=utf-8;base64,${data}`),
    ]) {
      const shown = `    at work (${join(folder, 'src/work.ts')}:3:5)`;
      expect(formatStack([frame('work', url)], true)).toBe(shown);
      expect(formatStack([frame('work', url)], false)).not.toBe(shown);
    }
  });

  it('that are missing, broken or not there leave the compiled place', () => {
    writeFileSync(join(folder, 'broken.map'), '{');
    for (const url of [
      compiled('missing.js', 'nowhere.map'),
      compiled('broken.js', 'broken.map'),
      pathToFileURL(join(folder, 'gone.js')).href,
    ])
      expect(formatStack([frame('work', url)], true)).toMatch(/at work \(.*\.js:1:1\)$/);
  });
});

it('the question is an exception that has nothing of the program in it', () => {
  let thrown: unknown;
  try {
    runInNewContext(QUESTION);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBe(0);
});
