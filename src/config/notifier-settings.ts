import { messageOf } from '../errors.js';
import type { EnvironmentReader } from './environment-reader.js';
import { isInstalled } from './installed.js';

/** The notifiers that can be named in `SHUTDOWN_NOTIFIERS`. */
export const NOTIFIER_KINDS = ['stdout', 'webhook', 'pubsub', 'sns'] as const;
export type NotifierKind = (typeof NOTIFIER_KINDS)[number];

/** One notifier as the environment describes it: its kind and the options of its factory. */
export interface NotifierSettings {
  readonly kind: NotifierKind;
  readonly options: Readonly<Record<string, unknown>>;
}

/** Those that are named, or else those whose address is set. */
export function readNotifiers(reader: EnvironmentReader, loads: boolean): NotifierSettings[] | undefined {
  const named = reader.list('NOTIFIERS');
  const wrong = named?.filter((kind) => !(NOTIFIER_KINDS as readonly string[]).includes(kind)) ?? [];
  if (wrong.length > 0) return reader.bad('NOTIFIERS', wrong.join(','), `any of ${NOTIFIER_KINDS.join(',')}`);
  // Whoever sets a webhook's address wants it used: naming it again in SHUTDOWN_NOTIFIERS is not needed.
  const kinds =
    (named as NotifierKind[] | undefined) ?? NOTIFIER_KINDS.filter((kind) => mentions(reader, kind));
  if (loads) for (const kind of new Set(kinds)) requirePackage(reader, kind);
  checkUnused(reader, kinds);
  return kinds.length === 0 ? undefined : [...new Set(kinds)].map((kind) => notifier(reader, kind));
}

/** A variable that is bad today is bad on the day its notifier is switched on. */
function checkUnused(reader: EnvironmentReader, used: readonly NotifierKind[]): void {
  for (const kind of NOTIFIER_KINDS) {
    if (!used.includes(kind) && mentions(reader, kind)) notifier(reader, kind);
  }
}

/** Checked all the same. @returns their names. */
export function readIdle(reader: EnvironmentReader): string[] {
  if (mentions(reader, 'webhook') || reader.list('NOTIFIERS')?.includes('webhook')) return [];
  headers(reader);
  secret(reader);
  return ['WEBHOOK_HEADERS', 'WEBHOOK_SECRET', 'WEBHOOK_SECRET_FILE']
    .filter((name) => reader.text(name) !== undefined)
    .map((name) => `SHUTDOWN_${name}`);
}

function requirePackage(reader: EnvironmentReader, kind: NotifierKind): void {
  const name = PACKAGES[kind];
  if (name === undefined || isInstalled(name)) return;
  reader.problems.push(
    `SHUTDOWN_NOTIFIERS: ${kind} needs ${name}, which is not installed; run: npm install ${name}`,
  );
}

function mentions(reader: EnvironmentReader, kind: NotifierKind): boolean {
  const variable = { webhook: 'WEBHOOK_URL', pubsub: 'PUBSUB_TOPIC', sns: 'SNS_TOPIC_ARN' };
  return kind !== 'stdout' && reader.text(variable[kind]) !== undefined;
}

function notifier(reader: EnvironmentReader, kind: NotifierKind): NotifierSettings {
  switch (kind) {
    case 'stdout':
      return { kind, options: {} };
    case 'webhook':
      return { kind, options: { url: webhookUrl(reader), secret: secret(reader), headers: headers(reader) } };
    case 'pubsub':
      return {
        kind,
        options: {
          topic: required(
            reader,
            'PUBSUB_TOPIC',
            /^projects\/[^/\s]+\/topics\/[A-Za-z][\w.~+%-]{2,254}$/,
            TOPIC_FORM,
          ),
        },
      };
    case 'sns':
      return {
        kind,
        options: {
          topicArn: required(
            reader,
            'SNS_TOPIC_ARN',
            /^arn:aws[\w-]*:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}(\.fifo)?$/,
            ARN_FORM,
          ),
        },
      };
  }
}

function required(
  reader: EnvironmentReader,
  name: string,
  form: RegExp,
  allowed: string,
): string | undefined {
  const text = reader.text(name);
  return text !== undefined && form.test(text) ? text : reader.bad(name, text, allowed);
}

function webhookUrl(reader: EnvironmentReader): string | undefined {
  const text = reader.text('WEBHOOK_URL');
  const url = text !== undefined && URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return text;
  return reader.badSecret('WEBHOOK_URL', text, 'an address that begins with http:// or https://');
}

function secret(reader: EnvironmentReader): string | undefined {
  const text = reader.text('WEBHOOK_SECRET');
  const path = reader.text('WEBHOOK_SECRET_FILE');
  if (text !== undefined && path !== undefined) {
    return reader.badSecret('WEBHOOK_SECRET', text, 'either this or SHUTDOWN_WEBHOOK_SECRET_FILE, not both');
  }
  if (path === undefined) return text === undefined ? undefined : base64(reader, 'WEBHOOK_SECRET', text);
  try {
    const { readFileSync } = process.getBuiltinModule('node:fs');
    return base64(reader, 'WEBHOOK_SECRET_FILE', readFileSync(path, 'utf8').trim());
  } catch (error) {
    return reader.bad('WEBHOOK_SECRET_FILE', path, `a file this process can read (${messageOf(error)})`);
  }
}

function base64(reader: EnvironmentReader, name: string, text: string): string | undefined {
  const key = text.replace(/^whsec_/, '');
  if (key.length > 0 && key.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(key)) return text;
  return reader.badSecret(
    name,
    text,
    'base64, with or without whsec_ before it; make one with: openssl rand -base64 32',
  );
}

function headers(reader: EnvironmentReader): Record<string, string> | undefined {
  const text = reader.text('WEBHOOK_HEADERS');
  if (text === undefined) return undefined;
  const pairs = headerPairs(text);
  if (pairs?.every(([name, value]) => /^[\w!#$%&'*+.^`|~-]+$/.test(name) && /^[\t\x20-\x7e]*$/.test(value))) {
    return Object.fromEntries(pairs);
  }
  return reader.badSecret('WEBHOOK_HEADERS', text, 'name=value,name=value or a JSON object of texts');
}

function headerPairs(text: string): [string, string][] | undefined {
  if (!text.startsWith('{')) {
    const pairs = text.split(',').map((pair): [string, string] => {
      const at = pair.indexOf('=');
      return [pair.slice(0, Math.max(0, at)).trim(), pair.slice(at + 1).trim()];
    });
    return pairs;
  }
  try {
    const entries = Object.entries(JSON.parse(text) as Record<string, unknown>);
    return entries.every(([, value]) => typeof value === 'string')
      ? (entries as [string, string][])
      : undefined;
  } catch {
    return undefined;
  }
}

/** The optional peers. */
const PACKAGES: Readonly<Partial<Record<NotifierKind, string>>> = {
  pubsub: '@google-cloud/pubsub',
  sns: '@aws-sdk/client-sns',
};

const TOPIC_FORM = 'projects/<project>/topics/<topic>';
const ARN_FORM = 'arn:aws:sns:<region>:<12-digit account>:<topic>';
