import type { ProcessLike } from '../process-like.js';
import type { ShutdownReason } from '../reason.js';

/**
 * Notices that the event loop ran empty while jobs were open: whatever they waited for will never come.
 * @returns its undo.
 */
export function listenForIdle(
  host: ProcessLike,
  openJobs: () => number,
  trigger: (reason: ShutdownReason) => void,
): () => void {
  const listener = () => {
    if (openJobs() > 0) trigger({ kind: 'idle' });
  };
  host.on('beforeExit', listener);
  return () => host.off('beforeExit', listener);
}
