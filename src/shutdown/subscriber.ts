import { callSite } from '../call-site.js';
import { MAX_TIMER_MS } from '../clock.js';
import { type OptionNames, refuseMisspelt, ShutdownError, show } from '../errors.js';
import {
  PHASE_PRIORITY,
  PHASES,
  type ShutdownHandler,
  type SubscribeOptions,
  type Subscriber,
} from '../phases.js';

const NAMES: OptionNames<SubscribeOptions> = {
  name: true,
  phase: true,
  priority: true,
  timeoutMs: true,
  reserveMs: true,
  essential: true,
  details: true,
};

/**
 * Puts a handler and its options together.
 * @throws {ShutdownError} `HANDLER_UNNAMED` or `INVALID_OPTION`.
 */
export function createSubscriber(handler: ShutdownHandler, options: SubscribeOptions): Subscriber {
  if (typeof handler !== 'function') throw invalid('the handler', handler, 'a function');
  const name = options.name ?? handler.name;
  if (typeof name !== 'string' || name === '') throw unnamed();
  refuseMisspelt(`handler "${name}"`, options, NAMES);
  return {
    name,
    handler,
    priority: priorityOf(name, options),
    timeoutMs: milliseconds(name, 'timeoutMs', options.timeoutMs, 1),
    reserveMs: milliseconds(name, 'reserveMs', options.reserveMs, 0) ?? 0,
    essential: flag(name, 'essential', options.essential),
    details: options.details,
    registeredAt: callSite(),
  };
}

function priorityOf(name: string, { phase, priority }: SubscribeOptions): number {
  if (phase !== undefined && !PHASES.includes(phase)) {
    throw invalid(`phase of handler "${name}"`, phase, PHASES.join(', '));
  }
  if (priority !== undefined && !Number.isFinite(priority)) {
    throw invalid(`priority of handler "${name}"`, priority, 'any finite number');
  }
  const named = phase && PHASE_PRIORITY[phase];
  if (named !== undefined && priority !== undefined && named !== priority) {
    throw invalid(`handler "${name}"`, `phase ${phase} and priority ${priority}`, 'one of the two');
  }
  return priority ?? named ?? PHASE_PRIORITY.release;
}

function milliseconds(
  name: string,
  option: string,
  ms: number | undefined,
  least: number,
): number | undefined {
  if (ms === undefined || (typeof ms === 'number' && ms >= least && ms <= MAX_TIMER_MS)) return ms;
  throw invalid(`${option} of handler "${name}"`, ms, `milliseconds from ${least} to ${MAX_TIMER_MS}`);
}

function flag(name: string, option: string, value: boolean | undefined): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? false;
  throw invalid(`${option} of handler "${name}"`, value, 'true or false');
}

function invalid(what: string, value: unknown, allowed: string): ShutdownError {
  return new ShutdownError('INVALID_OPTION', `${what} is ${show(value)}; allowed: ${allowed}`);
}

function unnamed(): ShutdownError {
  return new ShutdownError(
    'HANDLER_UNNAMED',
    'a handler without a name cannot be told from the others in logs and reports; give the function a name or pass { name }',
  );
}
