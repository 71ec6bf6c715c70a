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
  unrefChannel(channel);
  return () => {
    channel.refCounted?.();
    host.off('message', listener);
  };
}

/** A listener on the channel counts as a reason for the process to stay; one of ours is none. To be called once for each. */
export function unrefChannel(channel: unknown): void {
  (channel as CountedChannel | null | undefined)?.unrefCounted?.();
}

function isShutdownMessage(message: unknown): boolean {
  return message === 'shutdown' || (message as { type?: unknown } | null)?.type === 'shutdown';
}
