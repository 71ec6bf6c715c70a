import type { ProcessLike } from '../process-like.js';
import type { ShutdownReason } from '../reason.js';

/** Node's own count of what keeps an IPC channel open; not in its documentation, used by its cluster module. */
interface CountedChannel {
  unrefCounted?: () => void;
  refCounted?: () => void;
}

/**
 * Takes the IPC message `shutdown`, which process managers send where signals are not to be had.
 * Listening to it does not keep the process alive.
 * @returns its undo.
 * @see https://pm2.keymetrics.io/docs/usage/signals-clean-restart/
 */
export function listenForIpc(host: ProcessLike, trigger: (reason: ShutdownReason) => void): () => void {
  const channel = host.channel as CountedChannel | null | undefined;
  if (!channel) return () => {};
  const listener = (message: unknown) => {
    if (isShutdownMessage(message)) trigger({ kind: 'request', message: 'IPC message "shutdown"' });
  };
  host.on('message', listener);
  // A listener for messages counts as a reason to stay; ours is none.
  channel.unrefCounted?.();
  return () => {
    channel.refCounted?.();
    host.off('message', listener);
  };
}

function isShutdownMessage(message: unknown): boolean {
  return message === 'shutdown' || (message as { type?: unknown } | null)?.type === 'shutdown';
}
