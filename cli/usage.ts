import { type ParseArgsConfig, parseArgs } from 'node:util';
import { isShutdownError } from '../src/errors.js';

/** One option of a command. */
export interface OptionHelp {
  /** One letter. */
  readonly short?: string;
  /** What follows it: `<n>`, `<time>`; none for a switch. */
  readonly value?: string;
  /** May be given several times. */
  readonly multiple?: boolean;
  readonly text: string;
}

export type OptionTable = Readonly<Record<string, OptionHelp>>;

/** A mistake in what was typed. */
export class UsageError extends Error {}

/** Whether whoever typed the command can put it right. */
export function isUsageError(error: unknown): boolean {
  return (
    error instanceof UsageError ||
    isShutdownError(error, 'INVALID_OPTION') ||
    isShutdownError(error, 'INVALID_ENVIRONMENT')
  );
}

/** What was typed. */
export interface Typed {
  readonly values: Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
  readonly positionals: readonly string[];
}

/**
 * Reads options and what follows them. From the first word that is no option, everything is somebody else's.
 * @throws {UsageError}
 */
export function readOptions(args: readonly string[], table: OptionTable): Typed {
  const options = Object.fromEntries(
    Object.entries(table).map(([name, { short, value, multiple = false }]) => {
      const type = value === undefined ? ('boolean' as const) : ('string' as const);
      return [name, { type, multiple, ...(short !== undefined && { short }) }];
    }),
  ) satisfies ParseArgsConfig['options'];
  const typed = withValues(args, table);
  const config = { args: typed, options, allowPositionals: true } as const;
  const { tokens } = parseArgs({ ...config, strict: false, tokens: true });
  const first = tokens.find(({ kind }) => kind === 'positional' || kind === 'option-terminator');
  const end = first?.index ?? typed.length;
  try {
    const { values } = parseArgs({ ...config, args: typed.slice(0, end) });
    const rest = typed.slice(first?.kind === 'option-terminator' ? end + 1 : end);
    return { values: values as Typed['values'], positionals: rest };
  } catch (error) {
    // Node's own words name the option; its advice on how to escape it is for another case.
    throw new UsageError((error as Error).message.split('. To specify')[0]);
  }
}

/** Puts an option and its value into one word: a value may begin with a dash, as every option of Node does. */
function withValues(args: readonly string[], table: OptionTable): string[] {
  const names = new Map<string, string>();
  for (const [name, { short }] of Object.entries(table)) {
    names.set(`--${name}`, name);
    if (short !== undefined) names.set(`-${short}`, name);
  }
  const words: string[] = [];
  for (let index = 0; index < args.length; index += 1) {
    const word = args[index] as string;
    const name = names.get(word);
    const next = args[index + 1];
    // What follows the first word that is no option is somebody else's.
    if (word === '--' || !word.startsWith('-')) return [...words, ...args.slice(index)];
    const isAlone = name === undefined || table[name]?.value === undefined;
    // One of our own options there, or the end of all, is a value that is missing.
    if (isAlone || next === undefined || next === '--' || names.has(next)) words.push(word);
    else {
      index += 1;
      words.push(`--${name}=${next}`);
    }
  }
  return words;
}

/** The options as `--help` shows them. */
export function describeOptions(table: OptionTable): string {
  const rows = Object.entries(table).map(([name, { short, value, text }]): [string, string] => [
    `  ${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`,
    text,
  ]);
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.map(([left, text]) => `${left.padEnd(width)}${text}`).join('\n');
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/**
 * Reads a time: `30` and `30s` are seconds, `500ms`, `5m`, `2h`.
 * @param never what `never` means, where that is allowed.
 * @returns milliseconds.
 * @throws {UsageError}
 */
export function readTime(name: string, text: string, never?: number): number {
  if (text === 'never' && never !== undefined) return never;
  const [, number, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? [];
  if (number !== undefined) return Number(number) * (UNITS[unit] as number);
  const more = never === undefined ? '' : ', or never';
  throw new UsageError(
    `${name} is ${JSON.stringify(text)}, allowed: a time such as 30, 30s, 500ms, 5m, 2h${more}`,
  );
}

/** Reads a whole number. @throws {UsageError} */
export function readWhole(name: string, text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new UsageError(`${name} is ${JSON.stringify(text)}, allowed: a whole number`);
}

/** Reads a part of one: `0.1`. @throws {UsageError} */
export function readShare(name: string, text: string): number {
  if (/^(?:0?\.\d+|[01])$/.test(text)) return Number(text);
  throw new UsageError(`${name} is ${JSON.stringify(text)}, allowed: 0 to 1`);
}
