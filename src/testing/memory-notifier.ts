import type { Envelope } from '../envelope.js';
import { toError } from '../errors.js';
import type { Notifier, Receipt } from '../notifier.js';

/** What the far end of a {@link memoryNotifier} says to an envelope: a status, or a receipt without its id. */
export type MemoryAnswer =
  | Receipt['status']
  | { readonly status: 'delivered' }
  | { readonly status: 'retryable'; readonly error?: Error; readonly retryAfterMs?: number }
  | { readonly status: 'rejected'; readonly error?: Error; readonly divisible?: boolean };

/** How a {@link memoryNotifier} behaves. */
export interface MemoryNotifierOptions {
  /** @default 'memory' */
  readonly name?: string;
  /**
   * Decides each envelope's fate; `attempt` is 1 for the first try. A promise is waited for until the call is aborted,
   * what is thrown makes the envelope `retryable`.
   * @default () => 'delivered'
   */
  readonly answer?: (envelope: Envelope, attempt: number) => MemoryAnswer | Promise<MemoryAnswer>;
}

/** A notifier that keeps what it was given. */
export interface MemoryNotifier extends Notifier {
  /** The envelopes answered with `delivered`, oldest first. */
  readonly received: readonly Envelope[];
  /** Forgets them. */
  clear(): void;
}

/**
 * Takes envelopes into memory, for unit tests: no wire, no timers.
 * @example
 * ```ts
 * const notifier = memoryNotifier({ answer: (_envelope, attempt) => (attempt < 3 ? 'retryable' : 'delivered') });
 * const bus = createShutdownBus({ notifiers: [notifier] });
 * // … after the shutdown:
 * expect(notifier.received.map(({ data }) => data.jobType)).toEqual(['render']);
 * ```
 */
export function memoryNotifier(options: MemoryNotifierOptions = {}): MemoryNotifier {
  const { name = 'memory', answer = () => 'delivered' as const } = options;
  const received: Envelope[] = [];
  return {
    name,
    received,
    maxBatchSize: 500,
    async deliver(batch, { signal, attempt }) {
      const end = abortOf(signal);
      try {
        const decide = async (envelope: Envelope): Promise<MemoryAnswer> => answer(envelope, attempt);
        const answers = await Promise.all(
          batch.map((envelope) =>
            signal.aborted ? end.reached : Promise.race([decide(envelope).catch(asRetryable), end.reached]),
          ),
        );
        return batch.map((envelope, index) => {
          const receipt = receiptOf(envelope, answers[index] as MemoryAnswer);
          if (receipt.status === 'delivered') received.push(envelope);
          return receipt;
        });
      } finally {
        end.release();
      }
    },
    clear() {
      received.length = 0;
    },
  };
}

function abortOf(signal: AbortSignal) {
  let release = () => {};
  const reached = new Promise<MemoryAnswer>((resolve) => {
    const onAbort = () => resolve(asRetryable(new Error('the call was aborted before there was an answer')));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    release = () => signal.removeEventListener('abort', onAbort);
  });
  return { reached, release };
}

function asRetryable(thrown: unknown): MemoryAnswer {
  return { status: 'retryable', error: toError(thrown) };
}

function receiptOf({ id }: Envelope, answer: MemoryAnswer): Receipt {
  const { status, ...rest } = typeof answer === 'string' ? { status: answer } : answer;
  if (status === 'delivered') return { id, status };
  return { id, status, ...rest, error: ('error' in rest && rest.error) || new Error(`answered ${status}`) };
}
