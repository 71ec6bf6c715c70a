import type { NotifierKind, NotifierSettings } from './environment.js';
import { messageOf, ShutdownError, toError } from './errors.js';
import type { Notifier } from './notifier.js';

interface Source {
  /** A subpath of this package: the core knows its backends by name only. */
  readonly module: string;
  readonly factory: string;
  /** The optional peer it needs. */
  readonly needs?: string;
}

const SOURCES: Readonly<Record<NotifierKind, Source>> = {
  stdout: { module: 'shutdown-bus/notifiers/stdout', factory: 'stdoutNotifier' },
  webhook: { module: 'shutdown-bus/notifiers/webhook', factory: 'webhookNotifier' },
  pubsub: {
    module: 'shutdown-bus/notifiers/pubsub',
    factory: 'pubsubNotifier',
    needs: '@google-cloud/pubsub',
  },
  sns: { module: 'shutdown-bus/notifiers/sns', factory: 'snsNotifier', needs: '@aws-sdk/client-sns' },
};

/**
 * Checks that the packages of these notifiers are there, without loading them.
 * @throws {ShutdownError} `PACKAGE_MISSING` that names all that are to be installed.
 */
export function requirePackages(settings: readonly NotifierSettings[]): void {
  const { resolve } = process.getBuiltinModule('node:module').createRequire(import.meta.url);
  const missing = settings
    .map(({ kind }) => SOURCES[kind].needs)
    .filter((name) => name !== undefined)
    .filter((name) => !isInstalled(name, resolve));
  if (missing.length === 0) return;
  throw new ShutdownError(
    'PACKAGE_MISSING',
    `SHUTDOWN_NOTIFIERS needs ${missing.join(' and ')}, which is not installed; run: npm install ${missing.join(' ')}`,
  );
}

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

function isInstalled(name: string, resolve: (name: string) => string): boolean {
  try {
    resolve(name);
    return true;
  } catch (error) {
    // A package may be there without an entry for require().
    return (error as NodeJS.ErrnoException).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED';
  }
}
