import { parseMemoryLimit } from '../config/values.js';
import { DEFAULTS, type ShutdownConfig } from '../config.js';
import { messageOf } from '../errors.js';
import { FatalErrors } from './fatal-errors.js';
import { listenForIdle } from './idle.js';
import { listenForIpc } from './ipc.js';
import type { MemoryActions } from './memory.js';
import { listenForSignals, type SignalActions } from './signals.js';

/** What triggers do to their bus. */
export interface TriggerActions extends Omit<SignalActions, 'begin'>, MemoryActions {
  openJobs(): number;
  /** About how many bytes the reports of all open jobs are. */
  textBytes(): number;
}

/** What was installed. */
export interface Triggers {
  readonly fatalErrors: FatalErrors | undefined;
  uninstall(): void;
}

/** Installs everything that can start a shutdown. */
export function installTriggers(config: ShutdownConfig, actions: TriggerActions): Triggers {
  const { process: host, signals } = config;
  const { trigger } = actions;
  const fatalErrors = config.fatalErrors ? new FatalErrors(host, trigger) : undefined;
  const undo = [
    listenForSignals(host, signals, { ...actions, begin: (signal) => trigger({ kind: 'signal', signal }) }),
    listenForIdle(host, actions.openJobs, trigger),
    listenForIpc(host, trigger),
    () => fatalErrors?.stop(),
    ...(config.memory ? [installMemoryWatch(config, actions)] : []),
  ];
  const uninstall = () => {
    for (const step of undo) step();
  };
  return { fatalErrors, uninstall };
}

const DEFAULT_LIMIT = parseMemoryLimit(DEFAULTS.memoryLimit) as { share: number };

/** Loaded only where it is asked for. */
function installMemoryWatch(config: ShutdownConfig, actions: TriggerActions): () => void {
  const { limit = DEFAULTS.memoryLimit, intervalMs = DEFAULTS.memoryIntervalMs } = config.memory || {};
  const asked = { ...DEFAULT_LIMIT, ...parseMemoryLimit(limit) };
  let uninstall: (() => void) | undefined;
  let wanted = true;
  const load = async () => {
    const { memoryGauges, watchMemory } = await import('./memory.js');
    if (!wanted) return;
    const gauges = memoryGauges(asked);
    uninstall = watchMemory(
      { clock: config.clock, intervalMs, gauges, textBytes: () => actions.textBytes() },
      actions,
    );
  };
  load().catch((error: unknown) => actions.warn(`nobody watches the memory: ${messageOf(error)}`));
  return () => {
    wanted = false;
    uninstall?.();
  };
}
