import type { ShutdownBusOptions } from '../config.js';
import { misspelt, type OptionNames, show } from '../errors.js';
import type { Notifier } from '../notifier.js';
import { PLATFORMS } from '../platform.js';
import type { JobStore } from '../store.js';
import type { MemoryWatchOptions } from '../triggers/memory.js';
import { checkMs, checkText, type Problem, refuse } from './checks.js';
import { isCatchable, isRedactionPath, parseMemoryLimit } from './values.js';

const NAMES: OptionNames<ShutdownBusOptions> = {
  service: true,
  platform: true,
  budgetMs: true,
  reserveMs: true,
  releaseReserveMs: true,
  interruptGraceMs: true,
  signals: true,
  fatalErrors: true,
  notifiers: true,
  deliveryMode: true,
  store: true,
  redact: true,
  memory: true,
  watchdog: true,
  exit: true,
  readinessDelayMs: true,
  clock: true,
  logger: true,
  process: true,
};

/** @throws {ShutdownError} `INVALID_OPTION`, listing everything that is wrong. */
export function checkOptions(options: ShutdownBusOptions): void {
  refuse('the bus', problemsOf(options));
}

/** @returns everything that is wrong with them. */
export function problemsOf(options: ShutdownBusOptions): Problem[] {
  return [
    misspelt(options, NAMES),
    checkText('service', options.service),
    checkMs('budgetMs', options.budgetMs, 1),
    ...(['reserveMs', 'releaseReserveMs', 'interruptGraceMs', 'readinessDelayMs'] as const).map((name) =>
      checkMs(name, options[name]),
    ),
    checkPlatform(options.platform),
    checkSignals(options.signals),
    checkNotifiers(options.notifiers),
    checkMode(options.deliveryMode),
    checkStore(options.store),
    checkRedact(options.redact),
    checkMemory(options.memory),
    checkExit(options.exit),
  ];
}

function checkPlatform(platform: unknown): Problem {
  if (platform === undefined || Object.hasOwn(PLATFORMS, platform as string)) return undefined;
  return `platform is ${show(platform)}, allowed: ${Object.keys(PLATFORMS).join(', ')}`;
}

function checkSignals(signals: unknown): Problem {
  if (signals === undefined) return undefined;
  if (!Array.isArray(signals)) return `signals is ${show(signals)}, allowed: a list such as ['SIGTERM']`;
  const wrong = signals.filter((signal) => !isCatchable(String(signal)));
  return wrong.length === 0
    ? undefined
    : `signals has ${wrong.map(show).join(', ')}, allowed: names that can be caught`;
}

function checkNotifiers(notifiers: unknown): Problem {
  if (notifiers === undefined) return undefined;
  if (!Array.isArray(notifiers)) return `notifiers is ${show(notifiers)}, allowed: a list of notifiers`;
  const names = notifiers.map((notifier: Partial<Notifier> | undefined) => notifier?.name);
  const wrong = notifiers.findIndex(
    (notifier: Partial<Notifier> | undefined) => !notifier?.name || typeof notifier.deliver !== 'function',
  );
  if (wrong >= 0) return `notifiers[${wrong}] has no name or no deliver function`;
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  return twice === undefined ? undefined : `two notifiers are named ${show(twice)}, allowed: a name each`;
}

function checkMode(mode: unknown): Problem {
  if (mode === undefined || mode === 'all' || mode === 'failover') return undefined;
  return `deliveryMode is ${show(mode)}, allowed: 'all' or 'failover'`;
}

function checkRedact(paths: unknown): Problem {
  if (paths === undefined) return undefined;
  const wrong = Array.isArray(paths) ? paths.find((path) => !isRedactionPath(path)) : paths;
  if (wrong === undefined) return undefined;
  return `redact has ${show(wrong)}, allowed: a list of paths such as 'user.password', '*.token', 'cards[*].number'`;
}

const STORE_METHODS = ['put', 'checkpoint', 'delete', 'claimOrphans', 'markDelivered', 'close'] as const;

function checkStore(store: unknown): Problem {
  if (store === undefined) return undefined;
  const missing = STORE_METHODS.filter(
    (name) => typeof (store as Partial<JobStore> | null)?.[name] !== 'function',
  );
  if (missing.length === 0) return undefined;
  // An address may hold a password.
  const what = typeof store === 'string' ? 'a text' : `without ${missing.join(', ')}`;
  return `store is ${what}, allowed: lmdbStore({ path }), redisStore({ url }) or another JobStore; a text belongs into SHUTDOWN_STORE`;
}

const MEMORY_FORM = "false, or { limit: '90%' } or { limit: '400MiB' }";

function checkMemory(memory: unknown): Problem {
  if (memory === undefined || memory === false) return undefined;
  if (typeof memory !== 'object' || memory === null)
    return `memory is ${show(memory)}, allowed: ${MEMORY_FORM}`;
  const { limit } = memory as MemoryWatchOptions;
  if (limit === undefined || parseMemoryLimit(limit)) return undefined;
  return `memory.limit is ${show(limit)}, allowed: a share such as '90%', or bytes such as '400MiB'`;
}

function checkExit(exit: unknown): Problem {
  if (exit === undefined || typeof exit === 'boolean' || typeof exit === 'function') return undefined;
  return `exit is ${show(exit)}, allowed: true, false or a function that is given the code`;
}
