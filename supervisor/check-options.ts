import { existsSync } from 'node:fs';
import { MAX_TIMER_MS } from '../src/clock.js';
import { problemsOf as problemsOfBus } from '../src/config/check-options.js';
import { checkFlag, checkMs, checkPaths, checkText, type Problem, refuse } from '../src/config/checks.js';
import { isCatchable } from '../src/config/values.js';
import { misspelt, type OptionNames, show } from '../src/errors.js';
import { ShutdownError } from '../src/index.js';
import { given } from './given.js';
import type { SuperviseOptions, SuperviseSettings } from './options.js';

/** So many there may be. */
export const MOST_WORKERS = 1024;
const LEAST_TIMEOUT_MS = 100;
const LEAST_AGE_MS = 1000;
/** They end the service, scale it, or are Node's own. */
const TAKEN: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGTTIN', 'SIGTTOU', 'SIGUSR1'];

const NAMES: OptionNames<SuperviseOptions> = {
  exec: true,
  args: true,
  execArgv: true,
  env: true,
  workers: true,
  timeoutMs: true,
  gracefulTimeoutMs: true,
  killGapMs: true,
  blockedStack: true,
  startTimeoutMs: true,
  ready: true,
  drainOnTerm: true,
  maxRequests: true,
  maxAgeMs: true,
  jitter: true,
  failSafeMs: true,
  reloadSignals: true,
  unhurriedSignals: true,
  readinessPath: true,
  livenessPath: true,
  control: true,
  service: true,
  platform: true,
  budgetMs: true,
  notifiers: true,
  deliveryMode: true,
  store: true,
  redact: true,
  logger: true,
  exit: true,
};

/** What options that are not given are, as far as others must fit to them. */
type Defaults = Pick<SuperviseSettings, 'timeoutMs' | 'reloadSignals' | 'unhurriedSignals'>;

/** @throws {ShutdownError} `INVALID_OPTION`, listing everything that is wrong. */
export function checkOptions(options: SuperviseOptions, defaults: Defaults): void {
  refuse('supervise', problemsOf(options, defaults));
}

/** @throws {ShutdownError} `INVALID_OPTION` when there is nothing to run. */
export function checkProgram(exec: string): void {
  // Node adds this ending itself.
  if (existsSync(exec) || existsSync(`${exec}.js`)) return;
  const advice = `a path is taken from the working directory, which is ${process.cwd()}`;
  throw new ShutdownError('INVALID_OPTION', `supervise: there is no program ${show(exec)}; ${advice}`);
}

/** @returns what is wrong with a number of workers, and what is allowed. */
export function checkWorkers(name: string, value: unknown): Problem {
  return checkWhole(name, value, 1, MOST_WORKERS);
}

function problemsOf(options: SuperviseOptions, defaults: Defaults): Problem[] {
  const { timeoutMs, failSafeMs, ready, jitter, control } = options;
  const { service, platform, budgetMs, notifiers, deliveryMode, store, redact, exit } = options;
  return [
    misspelt(options, NAMES),
    checkExec(options.exec),
    checkTexts('args', options.args),
    checkTexts('execArgv', options.execArgv),
    checkEnv(options.env),
    checkWorkers('workers', options.workers),
    timeoutMs === 0
      ? undefined
      : checkMs('timeoutMs', timeoutMs, LEAST_TIMEOUT_MS, MAX_TIMER_MS, '; or 0: never'),
    checkMs('gracefulTimeoutMs', options.gracefulTimeoutMs),
    checkStages(timeoutMs ?? defaults.timeoutMs, options.gracefulTimeoutMs),
    checkMs('killGapMs', options.killGapMs),
    checkMs('startTimeoutMs', options.startTimeoutMs, 1),
    ready === undefined || ready === 'listening' || ready === 'started'
      ? undefined
      : `ready is ${show(ready)}, allowed: 'listening' or 'started'`,
    checkFlag('blockedStack', options.blockedStack),
    checkFlag('drainOnTerm', options.drainOnTerm),
    checkWhole('maxRequests', options.maxRequests, 1, Number.MAX_SAFE_INTEGER),
    checkMs('maxAgeMs', options.maxAgeMs, LEAST_AGE_MS),
    jitter === undefined || (typeof jitter === 'number' && jitter >= 0 && jitter <= 1)
      ? undefined
      : `jitter is ${show(jitter)}, allowed: 0 to 1`,
    failSafeMs === Number.POSITIVE_INFINITY
      ? undefined
      : checkMs('failSafeMs', failSafeMs, 1, MAX_TIMER_MS, ', or Infinity'),
    checkSignals('reloadSignals', options.reloadSignals),
    checkSignals('unhurriedSignals', options.unhurriedSignals),
    checkShared(
      options.reloadSignals ?? defaults.reloadSignals,
      options.unhurriedSignals ?? defaults.unhurriedSignals,
    ),
    ...checkPaths(options),
    control === false ? undefined : checkText('control', control, 'the path of a socket, or false'),
    ...problemsOfBus(given({ service, platform, budgetMs, notifiers, deliveryMode, store, redact, exit })),
  ];
}

function checkStages(timeoutMs: number, gracefulTimeoutMs: unknown): Problem {
  if (typeof gracefulTimeoutMs !== 'number') return undefined;
  const hint = 'the time that a stop may take is budgetMs';
  if (timeoutMs === 0)
    return `gracefulTimeoutMs ${gracefulTimeoutMs} has no effect where timeoutMs is 0: never; ${hint}`;
  if (!(gracefulTimeoutMs < timeoutMs)) return undefined;
  return (
    `gracefulTimeoutMs ${gracefulTimeoutMs} is smaller than timeoutMs ${timeoutMs}, and both count from the beginning of the ` +
    `silence; ${hint}`
  );
}

function checkExec(exec: unknown): Problem {
  if (exec instanceof URL ? exec.protocol === 'file:' : typeof exec === 'string' && exec !== '')
    return undefined;
  return `exec is ${show(exec)}, allowed: the path of the program that workers run, or a file: URL`;
}

function checkTexts(name: string, value: unknown): Problem {
  if (value === undefined || (Array.isArray(value) && value.every((one) => typeof one === 'string')))
    return undefined;
  return `${name} is ${show(value)}, allowed: a list of texts`;
}

function checkEnv(env: unknown): Problem {
  if (env === undefined) return undefined;
  if (typeof env !== 'object' || env === null || Array.isArray(env))
    return `env is ${show(env)}, allowed: an object of texts`;
  const [wrong] = Object.entries(env).filter(([, value]) => typeof value !== 'string');
  return wrong && `env has ${wrong[0]}, which is ${show(wrong[1])}, allowed: texts`;
}

function checkWhole(name: string, value: unknown, least: number, most: number): Problem {
  if (value === undefined) return undefined;
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most)
    return undefined;
  return `${name} is ${show(value)}, allowed: whole numbers from ${least} to ${most}`;
}

function checkSignals(name: string, signals: unknown): Problem {
  if (signals === undefined) return undefined;
  if (!Array.isArray(signals)) return `${name} is ${show(signals)}, allowed: a list such as ['SIGHUP']`;
  const wrong = signals.filter((signal) => !isCatchable(String(signal)) || TAKEN.includes(signal));
  if (wrong.length === 0) return undefined;
  const why = wrong.includes('SIGUSR1') ? ': it opens the inspector of Node' : '';
  return `${name} has ${wrong.map(show).join(', ')}${why}, allowed: names that can be caught, but for ${TAKEN.join(', ')}`;
}

function checkShared(reload: unknown, unhurried: unknown): Problem {
  if (!Array.isArray(reload) || !Array.isArray(unhurried)) return undefined;
  const shared = reload.filter((signal) => unhurried.includes(signal));
  if (shared.length === 0) return undefined;
  return `${shared.map(show).join(', ')} is in reloadSignals and in unhurriedSignals, allowed: in one of them`;
}
