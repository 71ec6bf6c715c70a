import { readFileSync } from 'node:fs';
import type { Runtime } from 'node:inspector';
import { SourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';

type CallFrame = Runtime.CallFrame;

const OWN_NAME = 'shutdown-bus:where-are-you';
/** Throws within the program that is asked, at no object of it. */
export const QUESTION = `throw 0\n//# sourceURL=${OWN_NAME}`;

/** Shown of a deep stack. V8 gives 200 at most. */
const FIRST = 50;

/**
 * Writes a stack as `Error.stack` does, without its first line: `    at work (/app/work.js:3:9)`. Node's own functions are left out,
 * unless there are no others. `''` for an empty one.
 */
export function formatStack(callFrames: readonly CallFrame[], withSourceMaps: boolean): string {
  const all = callFrames.filter(({ url }) => url !== OWN_NAME);
  const own = all.filter(({ url }) => !url.startsWith('node:'));
  const shown = own.length > 0 ? own : all;
  const maps = withSourceMaps ? new SourceMaps() : undefined;
  const write = (frame: CallFrame) => `    at ${describe(frame, maps)}`;
  const lines = shown.slice(0, FIRST).map(write);
  if (shown.length > FIRST) lines.push(`    … ${shown.length - FIRST} more or deeper`);
  return lines.join('\n');
}

function describe(frame: CallFrame, maps: SourceMaps | undefined): string {
  const { url, line, column } = maps?.originOf(frame) ?? placeOf(frame);
  const place = `${pathOf(url)}:${line}:${column}`;
  return frame.functionName ? `${frame.functionName} (${place})` : place;
}

interface Place {
  readonly url: string;
  /** From 1, and so is the column. */
  readonly line: number;
  readonly column: number;
}

function placeOf({ url, lineNumber, columnNumber }: CallFrame): Place {
  return { url, line: lineNumber + 1, column: columnNumber + 1 };
}

function pathOf(url: string): string {
  if (url === '') return '<anonymous>';
  if (!url.startsWith('file:')) return url;
  try {
    return fileURLToPath(url);
  } catch {
    return url;
  }
}

/** The source maps that compiled files name in their last lines. */
class SourceMaps {
  readonly #maps = new Map<string, { map: SourceMap; base: string } | undefined>();

  originOf({ url, lineNumber, columnNumber }: CallFrame): Place | undefined {
    if (!url.startsWith('file:')) return undefined;
    if (!this.#maps.has(url)) this.#maps.set(url, load(url));
    const found = this.#maps.get(url);
    const entry = found?.map.findEntry(lineNumber, columnNumber);
    if (found === undefined || entry === undefined || !('originalSource' in entry)) return undefined;
    return {
      url: new URL(entry.originalSource, found.base).href,
      line: entry.originalLine + 1,
      column: entry.originalColumn + 1,
    };
  }
}

function load(url: string): { map: SourceMap; base: string } | undefined {
  try {
    const comments = [
      ...readFileSync(new URL(url), 'utf8').matchAll(/^\/\/[#@] sourceMappingURL=(\S+)\s*$/gm),
    ];
    const name = comments.at(-1)?.[1];
    if (name === undefined) return undefined;
    const [, data] = /^data:[^,]*;base64,(.*)$/s.exec(name) ?? [];
    const base = data === undefined ? new URL(name, url).href : url;
    const text =
      data === undefined ? readFileSync(new URL(base), 'utf8') : Buffer.from(data, 'base64').toString();
    return { map: new SourceMap(JSON.parse(text)), base };
  } catch {
    // The compiled place is true as well.
    return undefined;
  }
}
