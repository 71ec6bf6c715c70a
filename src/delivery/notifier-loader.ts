import type { NotifierKind, NotifierSettings } from '../config/notifier-settings.js';
import { messageOf, ShutdownError, toError } from '../errors.js';
import type { Notifier } from '../notifier.js';

interface Source {
  /** A subpath of this package: the core knows its backends by name only. */
  readonly module: string;
  readonly factory: string;
}

const SOURCES: Readonly<Record<NotifierKind, Source>> = {
  stdout: { module: 'shutdown-bus/notifiers/stdout', factory: 'stdoutNotifier' },
  webhook: { module: 'shutdown-bus/notifiers/webhook', factory: 'webhookNotifier' },
  pubsub: { module: 'shutdown-bus/notifiers/pubsub', factory: 'pubsubNotifier' },
  sns: { module: 'shutdown-bus/notifiers/sns', factory: 'snsNotifier' },
};

/** Loads one notifier. One that cannot be loaded becomes one that refuses everything and says why. */
export async function loadNotifier({ kind, options }: NotifierSettings): Promise<Notifier> {
  const { module, factory } = SOURCES[kind];
  try {
    const loaded = (await import(module)) as Record<string, (options: unknown) => Notifier>;
    return (loaded[factory] as (options: unknown) => Notifier)(options);
  } catch (error) {
    return brokenNotifier(kind, toError(error));
  }
}

function brokenNotifier(name: string, cause: Error): Notifier {
  const error = new ShutdownError('DELIVERY_FAILED', `${name} could not be loaded: ${messageOf(cause)}`);
  return {
    name,
    maxBatchSize: 500,
    textOnly: true,
    warmUp: () => Promise.reject(error),
    deliver: async (batch) => batch.map(({ id }) => ({ id, status: 'rejected', error })),
  };
}
