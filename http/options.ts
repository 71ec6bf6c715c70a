import { checkBus, checkFlag, checkMs, checkPaths, type Problem, refuse } from '../src/config/checks.js';
import { misspelt, type OptionNames } from '../src/errors.js';
import { defaultBus, type ShutdownBus } from '../src/index.js';
import { type Answer, type AnswerFunction, problemOf } from './answer.js';
import type { UpgradeFarewell } from './upgrades.js';

/** Options of {@link drainServer}. */
export interface DrainOptions {
  /** The bus whose shutdown drains the server. @default the default bus */
  readonly bus?: ShutdownBus;
  /**
   * Milliseconds between the trigger and the first step that turns connections away: readiness is off, everything is
   * still served. 0 to what the reserves leave of `budgetMs`. Not waited for after SIGQUIT.
   * @default bus.config.readinessDelayMs: 5000 on Kubernetes, else 0
   */
  readonly readinessDelayMs?: number;
  /** GET on this path is answered here: 200 while the bus is ready, 503 from the trigger on, as long as the listener is open. @default not intercepted */
  readonly readinessPath?: string;
  /** GET on this path is answered here with 200 as long as the process can. @default not intercepted */
  readonly livenessPath?: string;
  /**
   * What requests get that the drain phase could not finish.
   * - `'wait'`: the application's own answer as long as there is time, then 503 with Retry-After; a request whose jobs
   *   were all reported gets that 503 at once
   * - `{ status, body, headers }`: this, once the reports of the request's jobs were accepted; 503 if they were not
   * - a function: whatever it returns, once the outcome of those reports is known
   * @default 'wait'
   */
  readonly answer?: 'wait' | Answer | AnswerFunction;
  /** Whether the listener stays open until the kernel's backlog is empty. @default true */
  readonly drainBacklog?: boolean;
  /**
   * Milliseconds an idle keep-alive connection is kept from the trigger, or from its last answer, so that a request that
   * is on its way is still answered; those idle for four times as long before the trigger get a fifth of it. Nothing is
   * waited for without such connections. 0 to the budget.
   * @default 250
   */
  readonly idleLingerMs?: number;
  /**
   * Says goodbye on one connection that was upgraded or made a tunnel by CONNECT, at the beginning of the drain; it is ended when the
   * promise settles.
   * @default WebSockets are closed with 1001, and all have 2 s to go
   */
  readonly onUpgrade?: UpgradeFarewell;
}

/** {@link DrainOptions} with every value filled in. */
export interface DrainSettings {
  readonly bus: ShutdownBus;
  readonly readinessDelayMs: number;
  readonly readinessPath: string | undefined;
  readonly livenessPath: string | undefined;
  readonly answer: 'wait' | Answer | AnswerFunction;
  readonly drainBacklog: boolean;
  readonly idleLingerMs: number;
  readonly onUpgrade: UpgradeFarewell | undefined;
}

/** The documented defaults that are plain values. */
export const DRAIN_DEFAULTS = Object.freeze({
  answer: 'wait' as const,
  drainBacklog: true,
  idleLingerMs: 250,
});

const NAMES: OptionNames<DrainOptions> = {
  bus: true,
  readinessDelayMs: true,
  readinessPath: true,
  livenessPath: true,
  answer: true,
  drainBacklog: true,
  idleLingerMs: true,
  onUpgrade: true,
};

/**
 * Fills in the defaults.
 * @throws {ShutdownError} `INVALID_OPTION`, listing everything that is wrong.
 */
export function resolveOptions(options: DrainOptions): DrainSettings {
  refuse('drainServer', [
    misspelt(options, NAMES),
    checkBus(options.bus),
    ...checkPaths(options),
    checkAnswer(options.answer),
    checkFlag('drainBacklog', options.drainBacklog),
    options.onUpgrade === undefined || typeof options.onUpgrade === 'function'
      ? undefined
      : `onUpgrade is ${String(options.onUpgrade)}, allowed: a function`,
  ]);
  const bus = options.bus ?? defaultBus();
  const { budgetMs, reserveMs, releaseReserveMs, interruptGraceMs } = bus.config;
  const free = budgetMs - reserveMs - releaseReserveMs - interruptGraceMs;
  refuse('drainServer', [
    checkMs('readinessDelayMs', options.readinessDelayMs, 0, free, ', what the reserves leave of budgetMs'),
    checkMs('idleLingerMs', options.idleLingerMs, 0, budgetMs, ', budgetMs'),
  ]);
  return {
    bus,
    readinessDelayMs: options.readinessDelayMs ?? bus.config.readinessDelayMs,
    readinessPath: options.readinessPath,
    livenessPath: options.livenessPath,
    answer: options.answer ?? DRAIN_DEFAULTS.answer,
    drainBacklog: options.drainBacklog ?? DRAIN_DEFAULTS.drainBacklog,
    onUpgrade: options.onUpgrade,
    idleLingerMs: options.idleLingerMs ?? Math.min(DRAIN_DEFAULTS.idleLingerMs, budgetMs),
  };
}

function checkAnswer(answer: unknown): Problem {
  if (answer === undefined || answer === 'wait' || typeof answer === 'function') return undefined;
  const problem = problemOf(answer);
  return problem && `answer ${problem}; or 'wait', or a function`;
}
