import { parseMemoryLimit } from '../config/values.js';
import { DEFAULTS, type ShutdownConfig } from '../config.js';
import type { ShutdownReason } from '../reason.js';
import { listenForFatalErrors } from './fatal-errors.js';
import { listenForIdle } from './idle.js';
import { listenForIpc } from './ipc.js';
import { listenForSignals, type SignalActions } from './signals.js';

/** What triggers do to their bus. */
export interface TriggerActions extends Omit<SignalActions, 'begin'> {
  trigger(reason: ShutdownReason): void;
  openJobs(): number;
}

/** Installs everything that can start a shutdown. Returns its undo. */
export function installTriggers(config: ShutdownConfig, actions: TriggerActions): () => void {
  const { process: host, signals, fatalErrors } = config;
  const { trigger } = actions;
  const undo = [
    listenForSignals(host, signals, { ...actions, begin: (signal) => trigger({ kind: 'signal', signal }) }),
    listenForIdle(host, actions.openJobs, trigger),
    listenForIpc(host, trigger),
    ...(fatalErrors ? [listenForFatalErrors(host, trigger)] : []),
    ...(config.memory ? [installMemoryWatch(config, trigger)] : []),
  ];
  return () => {
    for (const uninstall of undo) uninstall();
  };
}

/** Loaded only where it is asked for. */
function installMemoryWatch(config: ShutdownConfig, trigger: (reason: ShutdownReason) => void): () => void {
  const { limit = DEFAULTS.memoryLimit, intervalMs = DEFAULTS.memoryIntervalMs } = config.memory || {};
  const parsed = parseMemoryLimit(limit) ?? { share: 1 };
  const [share, ownLimit] = 'share' in parsed ? [parsed.share, undefined] : [1, parsed.bytes];
  let uninstall: (() => void) | undefined;
  let wanted = true;
  void import('./memory.js').then(({ readMemory, watchMemory }) => {
    if (!wanted) return;
    const watch = { clock: config.clock, intervalMs, share, read: () => readMemory(ownLimit) };
    uninstall = watchMemory(watch, trigger);
  });
  return () => {
    wanted = false;
    uninstall?.();
  };
}
