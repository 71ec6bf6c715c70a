import type { ProcessLike } from '../process-like.js';
import type { ShutdownReason } from '../reason.js';
import { asOwn } from './own-listener.js';

type FatalError = Extract<ShutdownReason, { kind: 'error' }>;

/** Makes an error that nobody caught the reason of a shutdown instead of a sudden death. */
export class FatalErrors {
  static readonly origins = ['uncaughtException', 'unhandledRejection'] as const;
  readonly #host: ProcessLike;
  readonly #listeners: ReadonlyMap<string, (error: unknown) => void>;
  readonly #installed = new Set<string>();

  constructor(host: ProcessLike, trigger: (reason: FatalError) => void) {
    this.#host = host;
    this.#listeners = new Map(
      FatalErrors.origins.map((origin) => [
        origin,
        asOwn((error: unknown) => trigger({ kind: 'error', origin, error })),
      ]),
    );
    for (const origin of FatalErrors.origins) this.listen(origin, true);
  }

  /** Whether that is ours to hear. Where it is not, we are not there at all: others look for who else listens before they act. */
  listen(origin: FatalError['origin'], isOurs: boolean): void {
    if (isOurs === this.#installed.has(origin)) return;
    const listener = this.#listeners.get(origin) as (error: unknown) => void;
    if (isOurs) {
      this.#installed.add(origin);
      this.#host.on(origin, listener);
    } else {
      this.#installed.delete(origin);
      this.#host.off(origin, listener);
    }
  }

  stop(): void {
    for (const origin of FatalErrors.origins) this.listen(origin, false);
  }
}
