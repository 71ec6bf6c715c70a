import { EventEmitter } from 'eventemitter3';

type AnyListener = (this: unknown, ...args: unknown[]) => unknown;

/**
 * An emitter whose listeners only watch: what one throws, or rejects with, goes to `onObserverError` and neither to
 * the emitter nor to the listeners after it.
 */
export class ObservedEmitter<Events extends EventEmitter.ValidEventTypes> extends EventEmitter<Events> {
  // The same listener of an event always gets the same guard, so that `off` finds it.
  readonly #guards = new WeakMap<AnyListener, Map<unknown, AnyListener>>();
  readonly #originals = new WeakMap<AnyListener, AnyListener>();
  readonly #onObserverError: (event: string, error: unknown) => void;

  constructor(onObserverError: (event: string, error: unknown) => void) {
    super();
    this.#onObserverError = onObserverError;
  }

  override on<E extends EventEmitter.EventNames<Events>>(
    event: E,
    listener: EventEmitter.EventListener<Events, E>,
    context?: unknown,
  ): this {
    return super.on(event, this.#guard(event, listener), context);
  }

  override addListener<E extends EventEmitter.EventNames<Events>>(
    event: E,
    listener: EventEmitter.EventListener<Events, E>,
    context?: unknown,
  ): this {
    return this.on(event, listener, context);
  }

  override once<E extends EventEmitter.EventNames<Events>>(
    event: E,
    listener: EventEmitter.EventListener<Events, E>,
    context?: unknown,
  ): this {
    return super.once(event, this.#guard(event, listener), context);
  }

  override off<E extends EventEmitter.EventNames<Events>>(
    event: E,
    listener?: EventEmitter.EventListener<Events, E>,
    context?: unknown,
    once?: boolean,
  ): this {
    return super.off(event, listener && this.#guard(event, listener), context, once);
  }

  override removeListener<E extends EventEmitter.EventNames<Events>>(
    event: E,
    listener?: EventEmitter.EventListener<Events, E>,
    context?: unknown,
    once?: boolean,
  ): this {
    return this.off(event, listener, context, once);
  }

  override listeners<E extends EventEmitter.EventNames<Events>>(
    event: E,
  ): EventEmitter.EventListener<Events, E>[] {
    return super
      .listeners(event)
      .map(
        (guard) =>
          (this.#originals.get(guard as AnyListener) ?? guard) as EventEmitter.EventListener<Events, E>,
      );
  }

  #guard<E extends EventEmitter.EventNames<Events>>(
    event: E,
    listener: EventEmitter.EventListener<Events, E>,
  ): EventEmitter.EventListener<Events, E> {
    const original = listener as AnyListener;
    // The emitter itself takes off by its guard what was to be called once.
    if (this.#originals.has(original)) return listener;
    const guards = this.#guards.get(original) ?? new Map<unknown, AnyListener>();
    let guard = guards.get(event);
    if (guard === undefined) {
      const report = (error: unknown) => this.#onObserverError(String(event), error);
      guard = function (this: unknown, ...args: unknown[]) {
        try {
          const result = original.apply(this, args);
          if (result instanceof Promise) result.catch(report);
        } catch (error) {
          report(error);
        }
      };
      guards.set(event, guard);
      this.#guards.set(original, guards);
      this.#originals.set(guard, original);
    }
    return guard as EventEmitter.EventListener<Events, E>;
  }
}
