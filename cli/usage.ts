import { type ParseArgsConfig, parseArgs } from 'node:util';
import { isShutdownError } from '../src/errors.js';

/** One option of a command. */
export interface OptionHelp {
  /** One letter. */
  readonly short?: string;
  /** What follows it: `<n>`, `<time>`; none for a switch. */
  readonly value?: string;
  readonly text: string;
}

export type OptionTable = Readonly<Record<string, OptionHelp>>;

/** A mistake in what was typed. */
export class UsageError extends Error {}

/** Whether whoever typed the command can put it right. */
export function isUsageError(error: unknown): boolean {
  return error instanceof UsageError || isShutdownError(error, 'INVALID_OPTION');
}

/** What was typed. */
export interface Typed {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
}

/**
 * Reads options and what follows them. From the first word that is no option, everything is somebody else's.
 * @throws {UsageError}
 */
export function readOptions(args: readonly string[], table: OptionTable): Typed {
  const options = Object.fromEntries(
    Object.entries(table).map(([name, { short, value }]) => [
      name,
      { type: value === undefined ? 'boolean' : 'string', ...(short !== undefined && { short }) } as const,
    ]),
  ) satisfies ParseArgsConfig['options'];
  const config = { args: [...args], options, allowPositionals: true } as const;
  const { tokens } = parseArgs({ ...config, strict: false, tokens: true });
  const first = tokens.find(({ kind }) => kind === 'positional' || kind === 'option-terminator');
  const end = first?.index ?? args.length;
  try {
    const { values } = parseArgs({ ...config, args: args.slice(0, end) });
    const rest = args.slice(first?.kind === 'option-terminator' ? end + 1 : end);
    return { values: values as Typed['values'], positionals: rest };
  } catch (error) {
    // Node's own words name the option; its advice on how to escape it is for another case.
    throw new UsageError((error as Error).message.split('. To specify')[0]);
  }
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
 * Reads a time: `30` and `30s` are seconds, `500ms`, `5m`, `2h`, `never` for none.
 * @returns milliseconds.
 * @throws {UsageError}
 */
export function readTime(name: string, text: string): number {
  if (text === 'never') return Number.POSITIVE_INFINITY;
  const [, number, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? [];
  if (number !== undefined) return Number(number) * (UNITS[unit] as number);
  throw new UsageError(`--${name} is ${JSON.stringify(text)}, allowed: a time such as 30, 30s, 500ms, 5m`);
}

/** Reads a whole number. @throws {UsageError} */
export function readWhole(name: string, text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new UsageError(`${name} is ${JSON.stringify(text)}, allowed: a whole number`);
}
