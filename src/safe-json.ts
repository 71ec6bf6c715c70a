import type { configure } from 'safe-stable-stringify';

type Stringify = ReturnType<typeof configure>;
type Redact = (value: unknown) => unknown;

// Both libraries wait for the warm-up: most payloads need neither, and an import must cost next to nothing.
let stringify: Stringify | undefined;
let createRedactor: ((paths: readonly string[]) => Redact) | undefined;

/** Loads what hostile payloads and redaction need. Called at warm-up and awaited before a report. */
export async function loadSerialisers(): Promise<void> {
  if (stringify && createRedactor) return;
  const [safe, redaction] = await Promise.all([import('safe-stable-stringify'), import('@pinojs/redact')]);
  useSerialisers(safe, redaction);
}

/** The same without a turn in between: a durable store writes the first job at once. */
export function loadSerialisersNow(): void {
  if (stringify && createRedactor) return;
  const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);
  useSerialisers(require('safe-stable-stringify'), { default: require('@pinojs/redact') });
}

function useSerialisers(
  safe: Pick<typeof import('safe-stable-stringify'), 'configure'>,
  redaction: { readonly default: typeof import('@pinojs/redact') },
): void {
  // `safe` puts a text where a toJSON or a getter threw; the keys keep their order.
  stringify = safe.configure({
    bigint: 'string',
    circularValue: '[Circular]',
    deterministic: false,
    safe: true,
  });
  createRedactor = (paths) =>
    redaction.default({ paths: [...paths], censor: '[Redacted]', serialize: false });
}

/**
 * The JSON text of anything: cycles become `"[Circular]"`, BigInts strings, a throwing getter or toJSON the text of
 * its error; `undefined`, functions and symbols become `null`. Never throws.
 */
export function safeJson(value: unknown): string {
  try {
    // Ten times faster than any library, and right for nearly every payload.
    return JSON.stringify(value) ?? 'null';
  } catch {
    try {
      return stringify?.(value) ?? '"[Unserialisable]"';
    } catch {
      return '"[Unserialisable]"';
    }
  }
}

/**
 * Makes a serialiser that leaves out the values at `paths` (`user.password`, `*.token`, `cards[*].number`).
 * What is redacted is the text that would leave the process, so a toJSON cannot bring a value back; where the redaction
 * itself fails, nothing of the value leaves. Never throws.
 */
export function createSerialiser(paths: readonly string[]): (value: unknown) => string {
  if (paths.length === 0) return safeJson;
  let redact: Redact | undefined;
  return (value) => {
    try {
      const plain: unknown = JSON.parse(safeJson(value));
      if (typeof plain !== 'object' || plain === null) return safeJson(plain);
      redact ??= createRedactor?.(paths);
      return redact ? safeJson(redact(plain)) : '"[Withheld: redaction is not loaded]"';
    } catch {
      return '"[Withheld: redaction failed]"';
    }
  };
}
