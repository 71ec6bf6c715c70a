import { given } from '../supervisor/given.js';
import type { SuperviseOptions } from '../supervisor/index.js';
import { supervise } from '../supervisor/index.js';
import {
  describeOptions,
  type OptionTable,
  readOptions,
  readShare,
  readTime,
  readWhole,
  type Typed,
  UsageError,
} from './usage.js';

const OPTIONS: OptionTable = {
  workers: { short: 'w', value: '<n>', text: 'how many workers (WEB_CONCURRENCY, else one a processor)' },
  timeout: { value: '<time>', text: 'silent event loop: SIGABRT after it, or never (30s)' },
  'graceful-timeout': { value: '<time>', text: 'of the same silence: SIGTERM on top (none)' },
  'kill-gap': { value: '<time>', text: 'from the last of them to SIGKILL (2s)' },
  budget: { value: '<time>', text: "from the signal to the end of everything (the platform's)" },
  'no-blocked-stack': { text: 'no thread that says what blocks an event loop' },
  'start-timeout': { value: '<time>', text: "from a worker's start until it is ready (30s)" },
  ready: { value: '<when>', text: 'ready when "listening", or "started" for workers without a server' },
  'max-requests': { value: '<n>', text: 'replace a worker after about so many (never)' },
  'max-age': { value: '<time>', text: 'replace a worker at about this age (never)' },
  jitter: { value: '<share>', text: 'by how much of these they may go earlier (0.1)' },
  'no-drain-on-term': { text: 'do not empty the shared backlog first' },
  'fail-safe': { value: '<time>', text: 'limit of a stop without haste, SIGWINCH; or never (5m)' },
  'readiness-path': { value: '<path>', text: 'answer GET on it: 200, 503 once stopping' },
  'liveness-path': { value: '<path>', text: 'answer GET on it: 200' },
  service: { value: '<name>', text: 'who reports' },
  store: { value: '<where>', text: 'memory, lmdb:<folder>, redis://… (SHUTDOWN_STORE, else lmdb)' },
  control: { value: '<path>', text: 'socket for shutdown-bus ctl' },
  'no-control': { text: 'no such socket' },
  'node-option': {
    value: '<text>',
    multiple: true,
    text: 'an option of Node for the workers; any number of these',
  },
  help: { short: 'h', text: 'this' },
};

const HELP = `shutdown-bus run [options] <program> [arguments]

Runs a program in several workers that share its ports. It needs no change: its servers are
drained, its workers replaced, reloaded and supervised, and its unfinished jobs reported.

${describeOptions(OPTIONS)}

  Times: 30 and 30s are seconds; 500ms, 5m, 2h.
  Signals: TERM stops · INT, QUIT stop quickly · HUP, USR2 reload · TTIN, TTOU one worker more, less
           WINCH stops without haste
  Notifiers and the rest come from SHUTDOWN_* variables.

  shutdown-bus run -w 2 --timeout 30 --graceful-timeout 30 app.js
`;

/** `shutdown-bus run`. */
export function run(args: readonly string[]): void {
  const typed = readOptions(args, OPTIONS);
  if (typed.values.help) {
    process.stdout.write(HELP);
    return;
  }
  // The primary itself and the workers are to agree on it.
  if (typeof typed.values.store === 'string') process.env.SHUTDOWN_STORE = typed.values.store;
  supervise(optionsFrom(typed));
}

/** @throws {UsageError} */
function optionsFrom({ values, positionals: [exec, ...args] }: Typed): SuperviseOptions {
  if (exec === undefined)
    throw new UsageError('which program? shutdown-bus run [options] <program> [arguments]');
  const text = (name: string) => values[name] as string | undefined;
  const option = <T>(name: string, read: (name: string, text: string) => T) => {
    const value = text(name);
    return value === undefined ? undefined : read(`--${name}`, value);
  };
  const time = (name: string, never?: number) => option(name, (...it) => readTime(...it, never));
  if (values['no-control'] && values.control !== undefined)
    throw new UsageError('--control and --no-control, allowed: one of the two');
  const nodeOptions = values['node-option'] as readonly string[] | undefined;
  return {
    exec,
    args,
    ...given({
      workers: option('workers', readWhole),
      timeoutMs: time('timeout', 0),
      gracefulTimeoutMs: time('graceful-timeout'),
      killGapMs: time('kill-gap'),
      budgetMs: time('budget'),
      startTimeoutMs: time('start-timeout'),
      ready: text('ready') as SuperviseOptions['ready'],
      maxRequests: option('max-requests', readWhole),
      maxAgeMs: time('max-age'),
      jitter: option('jitter', readShare),
      blockedStack: values['no-blocked-stack'] ? false : undefined,
      drainOnTerm: values['no-drain-on-term'] ? false : undefined,
      failSafeMs: time('fail-safe', Number.POSITIVE_INFINITY),
      readinessPath: text('readiness-path'),
      livenessPath: text('liveness-path'),
      service: text('service'),
      control: values['no-control'] ? false : text('control'),
      execArgv: nodeOptions && [...process.execArgv, ...nodeOptions],
    }),
  };
}
