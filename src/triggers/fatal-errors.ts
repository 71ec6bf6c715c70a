import type { ProcessLike } from '../process-like.js';
import type { ShutdownReason } from '../reason.js';

/**
 * Makes an error that nobody caught the reason of a shutdown instead of a sudden death.
 * @returns its undo.
 */
export function listenForFatalErrors(
  host: ProcessLike,
  trigger: (reason: Extract<ShutdownReason, { kind: 'error' }>) => void,
): () => void {
  const onException = (error: unknown) => trigger({ kind: 'error', origin: 'uncaughtException', error });
  const onRejection = (error: unknown) => trigger({ kind: 'error', origin: 'unhandledRejection', error });
  host.on('uncaughtException', onException);
  host.on('unhandledRejection', onRejection);
  return () => {
    host.off('uncaughtException', onException);
    host.off('unhandledRejection', onRejection);
  };
}
