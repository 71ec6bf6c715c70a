import type { ShutdownConfig } from '../config.js';
import { parseMemoryLimit } from '../environment.js';
import type { ShutdownReason } from '../reason.js';
import { listenForFatalErrors } from './fatal-errors.js';
import { listenForIdle } from './idle.js';
import { listenForIpc } from './ipc.js';
import { readMemory, watchMemory } from './memory.js';
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

function installMemoryWatch(config: ShutdownConfig, trigger: (reason: ShutdownReason) => void): () => void {
  const { limit = '90%', intervalMs = 1000 } = config.memory || {};
  const parsed = parseMemoryLimit(limit) ?? { share: 0.9 };
  const [share, ownLimit] = 'share' in parsed ? [parsed.share, undefined] : [1, parsed.bytes];
  return watchMemory({ clock: config.clock, intervalMs, share, read: () => readMemory(ownLimit) }, trigger);
}
