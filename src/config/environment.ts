import type { DeliveryMode } from '../delivery.js';
import { ShutdownError } from '../errors.js';
import type { SealingKey } from '../jobs/sealing.js';
import type { MemoryWatchOptions } from '../triggers/memory.js';
import { type Environment, EnvironmentReader } from './environment-reader.js';
import { type NotifierSettings, readIdle, readNotifiers } from './notifier-settings.js';
import { readStore, readStoreKeys, type StoreSettings } from './store-settings.js';
import { DEFAULT_SIGNALS, isCatchable, isRedactionPath, parseMemoryLimit } from './values.js';

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
  readonly store?: StoreSettings;
  readonly storeKeys?: readonly SealingKey[];
  /** Variables that look like ours but are not; worth a warning. */
  readonly unknown: readonly string[];
  /** Variables that say more of a webhook that has no address; worth a warning. */
  readonly idle: readonly string[];
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
  'STORE_KEY',
  'STORE_KEY_FILE',
  'REDACT',
  'MEMORY_LIMIT',
].map((name) => `SHUTDOWN_${name}`);

/**
 * Reads the `SHUTDOWN_*` variables.
 * @param loads whether the notifiers and the store they name will be loaded, so that their packages must be installed.
 * @throws {ShutdownError} `INVALID_ENVIRONMENT`: one error that lists every bad variable, what it got and what is
 * allowed. Values that may be secret are never shown.
 */
export function readEnvironment(
  env: Environment,
  loads = { notifiers: true, store: true },
): EnvironmentSettings {
  const reader = new EnvironmentReader(env);
  const settings: EnvironmentSettings = {
    service: reader.text('SERVICE'),
    budgetMs: reader.milliseconds('BUDGET_MS', 1),
    reserveMs: reader.milliseconds('RESERVE_MS', 0),
    preStopMs: reader.milliseconds('PRE_STOP_MS', 0),
    readinessDelayMs: reader.milliseconds('READINESS_DELAY_MS', 0),
    signals: signals(reader),
    deliveryMode: reader.choice('DELIVERY_MODE', ['all', 'failover'] as const),
    redact: redact(reader),
    memory: memory(reader),
    notifiers: readNotifiers(reader, loads.notifiers),
    store: readStore(reader, loads.store),
    storeKeys: readStoreKeys(reader),
    unknown: Object.keys(env).filter((name) => looksLikeOurs(name)),
    idle: readIdle(reader),
  };
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

function signals(reader: EnvironmentReader): NodeJS.Signals[] | undefined {
  const names = reader
    .list('SIGNALS')
    ?.map((name) => (/^sig/i.test(name) ? name : `SIG${name}`).toUpperCase());
  const wrong = names?.filter((name) => !isCatchable(name)) ?? [];
  if (wrong.length === 0) return names && ([...new Set(names)] as NodeJS.Signals[]);
  return reader.bad(
    'SIGNALS',
    wrong.join(','),
    `signals that can be caught, such as ${DEFAULT_SIGNALS.join(',')}`,
  );
}

function redact(reader: EnvironmentReader): string[] | undefined {
  const paths = reader.list('REDACT');
  const wrong = paths?.filter((path) => !isRedactionPath(path)) ?? [];
  if (wrong.length === 0) return paths;
  return reader.bad('REDACT', wrong.join(','), 'paths such as user.password,*.token,cards[*].number');
}

const LEAST_MEMORY_BYTES = 16 * 2 ** 20;

function memory(reader: EnvironmentReader): MemoryWatchOptions | undefined {
  const text = reader.text('MEMORY_LIMIT');
  if (text === undefined) return undefined;
  const limit = parseMemoryLimit(text);
  // No service is as small as that: a `90` without its sign would end it at every start.
  if (limit && ('share' in limit || limit.bytes >= LEAST_MEMORY_BYTES)) return { limit: text };
  return reader.bad('MEMORY_LIMIT', text, 'a share such as 90%, or a size such as 400MiB, at least 16MiB');
}
