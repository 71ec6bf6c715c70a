import { type Envelope, envelopeJson } from '../src/envelope.js';
import { messageOf, refuseMisspelt, ShutdownError } from '../src/errors.js';
import type { Notifier } from '../src/notifier.js';

/** Where {@link stdoutNotifier} writes. */
export interface StdoutNotifierOptions {
  /** Never ended by the notifier: it belongs to whoever made it. @default process.stdout */
  readonly stream?: NodeJS.WritableStream;
}

// One listener a stream for good: an EPIPE reaches the stream's listeners a tick after the write's own callback, and
// without a listener it would end the process in the middle of its shutdown.
const listenedTo = new WeakSet<NodeJS.WritableStream>();

/**
 * Writes one JSON line an envelope, and says `delivered` only when the line has been handed to the kernel: a slow
 * reader slows the delivery down, and `process.exit` afterwards cuts nothing off.
 * A reader that has gone (EPIPE) and any other stream error are `retryable` receipts, never an uncaught `error` event.
 * A line whose write was under way when the signal aborted may still come out.
 * @example
 * ```ts
 * createShutdownBus({ notifiers: [stdoutNotifier({ stream: process.stderr })] });
 * ```
 */
export function stdoutNotifier(options: StdoutNotifierOptions = {}): Notifier {
  refuseMisspelt('stdoutNotifier', options, { stream: true });
  const { stream = process.stdout } = options;
  return {
    name: 'stdout',
    maxBatchSize: 500,
    textOnly: true,
    // Lines leave in one order anyway; a second call would only lengthen the stream's queue.
    maxConcurrency: 1,
    async deliver(batch, { signal }) {
      if (signal.aborted) return answered(batch, batch.map(abortedError));
      listen(stream);
      const end = endOf(stream, signal);
      try {
        const writes = batch.map((envelope) => write(stream, `${envelopeJson(envelope)}\n`));
        return answered(batch, await Promise.all(writes.map((write) => Promise.race([write, end.reached]))));
      } finally {
        end.release();
      }
    },
    // Nothing is held between calls, and the stream is not ours to end.
    async close() {},
  };
}

/** One receipt an envelope; lines that failed together share one error, so that logs name it once. */
function answered(batch: readonly Envelope[], errors: readonly (Error | undefined)[]) {
  const error = errors.find((one) => one !== undefined);
  return batch.map(({ id }, index) =>
    error && errors[index]
      ? ({ id, status: 'retryable', error } as const)
      : ({ id, status: 'delivered' } as const),
  );
}

function write(stream: NodeJS.WritableStream, line: string): Promise<Error | undefined> {
  return new Promise((resolve) => {
    try {
      stream.write(line, (error) => resolve(error ? brokenError(error) : undefined));
    } catch (error) {
      resolve(brokenError(error));
    }
  });
}

/** Settles with an error when the call has to end before its lines are written. */
function endOf(stream: NodeJS.WritableStream, signal: AbortSignal) {
  let release = () => {};
  const reached = new Promise<Error>((resolve) => {
    const onAbort = () => resolve(abortedError());
    const onClose = () => resolve(brokenError('it was closed'));
    signal.addEventListener('abort', onAbort, { once: true });
    stream.once('close', onClose);
    release = () => {
      signal.removeEventListener('abort', onAbort);
      stream.removeListener('close', onClose);
    };
  });
  return { reached, release };
}

function listen(stream: NodeJS.WritableStream): void {
  if (listenedTo.has(stream)) return;
  listenedTo.add(stream);
  stream.on('error', () => {});
}

function abortedError(): Error {
  return new ShutdownError(
    'DELIVERY_FAILED',
    'stdout took no more lines in time; its reader may be slow or stuck',
  );
}

function brokenError(cause: unknown): Error {
  const message = `stdout could not be written: ${messageOf(cause)}; its reader may have gone`;
  return new ShutdownError('DELIVERY_FAILED', message, { cause });
}
