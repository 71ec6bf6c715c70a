import type { DeliveryMode } from './delivery.js';
import { messageOf, ShutdownError } from './errors.js';
import { signalNumber } from './reason.js';
import type { MemoryWatchOptions } from './triggers/memory.js';

/** The notifiers that can be named in `SHUTDOWN_NOTIFIERS`. */
export const NOTIFIER_KINDS = ['stdout', 'webhook', 'pubsub', 'sns'] as const;
export type NotifierKind = (typeof NOTIFIER_KINDS)[number];

/** One notifier as the environment describes it: its kind and the options of its factory. */
export interface NotifierSettings {
  readonly kind: NotifierKind;
  readonly options: Readonly<Record<string, unknown>>;
}

/** What the `SHUTDOWN_*` variables say; what they leave out is `undefined`. */
export interface EnvironmentSettings {
  readonly service?: string;
  readonly budgetMs?: number;
  readonly reserveMs?: number;
  readonly preStopMs?: number;
  readonly readinessDelayMs?: number;
  readonly signals?: readonly NodeJS.Signals[];
  readonly deliveryMode?: DeliveryMode;
  readonly redact?: readonly string[];
  readonly memory?: MemoryWatchOptions;
  readonly notifiers?: readonly NotifierSettings[];
  /** Variables that look like ours but are not; worth a warning. */
  readonly unknown: readonly string[];
}

const VARIABLES = [
  'SERVICE',
  'BUDGET_MS',
  'RESERVE_MS',
  'PRE_STOP_MS',
  'READINESS_DELAY_MS',
  'SIGNALS',
  'NOTIFIERS',
  'DELIVERY_MODE',
  'WEBHOOK_URL',
  'WEBHOOK_SECRET',
  'WEBHOOK_SECRET_FILE',
  'WEBHOOK_HEADERS',
  'PUBSUB_TOPIC',
  'SNS_TOPIC_ARN',
  'STORE',
  'REDACT',
  'MEMORY_LIMIT',
].map((name) => `SHUTDOWN_${name}`);

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the `SHUTDOWN_*` variables.
 * @param loads whether the notifiers they name will be loaded, so that their packages must be installed.
 * @throws {ShutdownError} `INVALID_ENVIRONMENT`: one error that lists every bad variable, what it got and what is
 * allowed. Values that may be secret are never shown.
 */
export function readEnvironment(env: Environment, loads = true): EnvironmentSettings {
  const reader = new EnvironmentReader(env);
  const settings: EnvironmentSettings = {
    service: reader.text('SERVICE'),
    budgetMs: reader.milliseconds('BUDGET_MS', 1),
    reserveMs: reader.milliseconds('RESERVE_MS', 0),
    preStopMs: reader.milliseconds('PRE_STOP_MS', 0),
    readinessDelayMs: reader.milliseconds('READINESS_DELAY_MS', 0),
    signals: reader.signals(),
    deliveryMode: reader.choice('DELIVERY_MODE', ['all', 'failover'] as const),
    redact: reader.redact(),
    memory: reader.memory(),
    notifiers: reader.notifiers(loads),
    unknown: Object.keys(env).filter((name) => looksLikeOurs(name)),
  };
  reader.store();
  if (reader.problems.length > 0) throw environmentError(reader.problems);
  return settings;
}

// A Kubernetes service named "shutdown" puts SHUTDOWN_PORT and the like into every pod.
const FOREIGN = /^SHUTDOWN_(PORT|SERVICE_(HOST|PORT))/;

function looksLikeOurs(name: string): boolean {
  return name.startsWith('SHUTDOWN_') && !VARIABLES.includes(name) && !FOREIGN.test(name);
}

function environmentError(problems: readonly string[]): ShutdownError {
  const list = problems.map((problem) => `\n  ${problem}`).join('');
  const count = problems.length === 1 ? 'a variable is' : `${problems.length} variables are`;
  return new ShutdownError('INVALID_ENVIRONMENT', `the environment is not usable, ${count} bad:${list}`);
}

/** Reads one variable after the other and remembers what was wrong instead of stopping at the first. */
class EnvironmentReader {
  readonly problems: string[] = [];
  readonly #env: Environment;

  constructor(env: Environment) {
    this.#env = env;
  }

  /** An empty variable counts as unset: that is how deployment templates leave one out. */
  text(name: string): string | undefined {
    const value = this.#env[`SHUTDOWN_${name}`]?.trim();
    return value === '' ? undefined : value;
  }

  list(name: string): string[] | undefined {
    const items = this.text(name)
      ?.split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
    return items?.length ? items : undefined;
  }

  milliseconds(name: string, least: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= 86_400_000) return value;
    return this.bad(name, text, `a whole number of milliseconds from ${least} to 86400000`);
  }

  choice<const T extends string>(name: string, allowed: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text === undefined || (allowed as readonly string[]).includes(text)) return text as T | undefined;
    return this.bad(name, text, allowed.join(' or '));
  }

  /** The address of a store may hold a password. */
  store(): void {
    const text = this.text('STORE');
    if (text !== undefined && text !== 'memory') this.badSecret('STORE', text, 'memory');
  }

  signals(): NodeJS.Signals[] | undefined {
    const names = this.list('SIGNALS')?.map((name) =>
      (/^sig/i.test(name) ? name : `SIG${name}`).toUpperCase(),
    );
    const wrong = names?.filter((name) => !isCatchable(name)) ?? [];
    if (wrong.length === 0) return names as NodeJS.Signals[] | undefined;
    return this.bad(
      'SIGNALS',
      wrong.join(','),
      `signals that can be caught, such as ${DEFAULT_SIGNALS.join(',')}`,
    );
  }

  redact(): string[] | undefined {
    const paths = this.list('REDACT');
    const wrong = paths?.filter((path) => !isRedactionPath(path)) ?? [];
    if (wrong.length === 0) return paths;
    return this.bad('REDACT', wrong.join(','), 'paths such as user.password,*.token,cards[*].number');
  }

  memory(): MemoryWatchOptions | undefined {
    const text = this.text('MEMORY_LIMIT');
    if (text === undefined) return undefined;
    if (parseMemoryLimit(text)) return { limit: text };
    return this.bad('MEMORY_LIMIT', text, 'a share such as 90%, or a size such as 400MiB or 419430400');
  }

  notifiers(loads: boolean): NotifierSettings[] | undefined {
    const named = this.list('NOTIFIERS');
    const wrong = named?.filter((kind) => !(NOTIFIER_KINDS as readonly string[]).includes(kind)) ?? [];
    if (wrong.length > 0) return this.bad('NOTIFIERS', wrong.join(','), `any of ${NOTIFIER_KINDS.join(',')}`);
    // Whoever sets a webhook's address wants it used: naming it again in SHUTDOWN_NOTIFIERS is not needed.
    const kinds =
      (named as NotifierKind[] | undefined) ?? NOTIFIER_KINDS.filter((kind) => this.mentions(kind));
    if (loads) for (const kind of new Set(kinds)) this.requirePackage(kind);
    return kinds.length === 0 ? undefined : [...new Set(kinds)].map((kind) => this.notifier(kind));
  }

  requirePackage(kind: NotifierKind): void {
    const name = PACKAGES[kind];
    if (name === undefined || isInstalled(name)) return;
    this.problems.push(
      `SHUTDOWN_NOTIFIERS: ${kind} needs ${name}, which is not installed; run: npm install ${name}`,
    );
  }

  mentions(kind: NotifierKind): boolean {
    const variable = { webhook: 'WEBHOOK_URL', pubsub: 'PUBSUB_TOPIC', sns: 'SNS_TOPIC_ARN' };
    return kind !== 'stdout' && this.text(variable[kind]) !== undefined;
  }

  notifier(kind: NotifierKind): NotifierSettings {
    switch (kind) {
      case 'stdout':
        return { kind, options: {} };
      case 'webhook':
        return { kind, options: { url: this.webhookUrl(), secret: this.secret(), headers: this.headers() } };
      case 'pubsub':
        return {
          kind,
          options: {
            topic: this.required(
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
            topicArn: this.required(
              'SNS_TOPIC_ARN',
              /^arn:aws[\w-]*:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}(\.fifo)?$/,
              ARN_FORM,
            ),
          },
        };
    }
  }

  required(name: string, form: RegExp, allowed: string): string | undefined {
    const text = this.text(name);
    return text !== undefined && form.test(text) ? text : this.bad(name, text, allowed);
  }

  webhookUrl(): string | undefined {
    const text = this.text('WEBHOOK_URL');
    const url = text !== undefined && URL.canParse(text) ? new URL(text) : undefined;
    if (url?.protocol === 'http:' || url?.protocol === 'https:') return text;
    return this.badSecret('WEBHOOK_URL', text, 'an address that begins with http:// or https://');
  }

  secret(): string | undefined {
    const text = this.text('WEBHOOK_SECRET');
    const path = this.text('WEBHOOK_SECRET_FILE');
    if (text !== undefined && path !== undefined) {
      return this.badSecret('WEBHOOK_SECRET', text, 'either this or SHUTDOWN_WEBHOOK_SECRET_FILE, not both');
    }
    if (path === undefined) return text === undefined ? undefined : this.base64('WEBHOOK_SECRET', text);
    try {
      const { readFileSync } = process.getBuiltinModule('node:fs');
      return this.base64('WEBHOOK_SECRET_FILE', readFileSync(path, 'utf8').trim());
    } catch (error) {
      return this.bad('WEBHOOK_SECRET_FILE', path, `a file this process can read (${messageOf(error)})`);
    }
  }

  base64(name: string, text: string): string | undefined {
    const key = text.replace(/^whsec_/, '');
    if (key.length > 0 && key.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(key)) return text;
    return this.badSecret(
      name,
      text,
      'base64, with or without whsec_ before it; make one with: openssl rand -base64 32',
    );
  }

  headers(): Record<string, string> | undefined {
    const text = this.text('WEBHOOK_HEADERS');
    if (text === undefined) return undefined;
    const pairs = headerPairs(text);
    if (
      pairs?.every(([name, value]) => /^[\w!#$%&'*+.^`|~-]+$/.test(name) && /^[\t\x20-\x7e]*$/.test(value))
    ) {
      return Object.fromEntries(pairs);
    }
    return this.badSecret('WEBHOOK_HEADERS', text, 'name=value,name=value or a JSON object of texts');
  }

  bad(name: string, value: string | undefined, allowed: string): undefined {
    this.problems.push(
      `SHUTDOWN_${name}: got ${value === undefined ? 'nothing' : JSON.stringify(value)}; allowed: ${allowed}`,
    );
    return undefined;
  }

  badSecret(name: string, value: string | undefined, allowed: string): undefined {
    const got = value === undefined ? 'nothing' : `a text of ${value.length} characters (not shown)`;
    this.problems.push(`SHUTDOWN_${name}: got ${got}; allowed: ${allowed}`);
    return undefined;
  }
}

/** The optional peers. */
const PACKAGES: Readonly<Partial<Record<NotifierKind, string>>> = {
  pubsub: '@google-cloud/pubsub',
  sns: '@aws-sdk/client-sns',
};

function isInstalled(name: string): boolean {
  try {
    process
      .getBuiltinModule('node:module')
      .createRequire(import.meta.url)
      .resolve(name);
    return true;
  } catch (error) {
    // A package may be there without an entry for require().
    return (error as NodeJS.ErrnoException).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED';
  }
}

const TOPIC_FORM = 'projects/<project>/topics/<topic>';
const ARN_FORM = 'arn:aws:sns:<region>:<12-digit account>:<topic>';

/** The signals a bus listens to unless told otherwise. SIGQUIT is the quick one: no drain. */
export const DEFAULT_SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'];

// Signals that cannot be caught, and those the machine raises for a fault: no code may run after one of these.
const UNCATCHABLE = ['SIGKILL', 'SIGSTOP', 'SIGSEGV', 'SIGBUS', 'SIGFPE', 'SIGILL'];

/** Whether a listener for that signal can be installed and will be called. */
export function isCatchable(signal: string): boolean {
  return signalNumber(signal as NodeJS.Signals) > 0 && !UNCATCHABLE.includes(signal);
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** Reads `90%` as a share of the limit that was found, `400MiB` as a limit of its own. `undefined` when it is neither. */
export function parseMemoryLimit(text: string | number): { share: number } | { bytes: number } | undefined {
  if (typeof text === 'number') return text > 0 && Number.isFinite(text) ? { bytes: text } : undefined;
  const match = /^(\d+(?:\.\d+)?)\s*(%|[kmg]i?b)?$/i.exec(text.trim());
  if (!match) return undefined;
  const value = Number(match[1]);
  const unit = (match[2] ?? '').toLowerCase();
  if (unit === '%') return value > 0 && value <= 100 ? { share: value / 100 } : undefined;
  return value > 0 ? { bytes: value * (UNITS[unit] ?? 1) } : undefined;
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

const SEGMENT =
  /^(?:\*|[\w$-]+|\[(?:\*|\d+|"[^"]+"|'[^']+')\])(?:\.(?:\*|[\w$-]+)|\[(?:\*|\d+|"[^"]+"|'[^']+')\])*$/;

/** Whether a text is a path that can be redacted. */
export function isRedactionPath(path: unknown): path is string {
  return typeof path === 'string' && SEGMENT.test(path);
}
