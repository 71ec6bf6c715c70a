import { asOwn, isOwn, type Listener, type Others } from '../../src/triggers/own-listener.js';

const WATCHED = /^SIG|^(uncaughtException|unhandledRejection)$/;

/** Watches what is listened for in this process from now on, and what is already. */
export function watchOthers(): Others {
  const heard = new Map<string, Set<Listener>>();
  const others: Others = {
    hears: (event) => (heard.get(event)?.size ?? 0) > (event.startsWith('SIG') ? countSignalExit() : 0),
    onChange: () => {},
  };
  const add = (event: string, listener: Listener) => {
    if (!WATCHED.test(event) || isOwn(listener)) return;
    heard.set(event, (heard.get(event) ?? new Set()).add(listener));
    others.onChange(event);
  };
  for (const event of process.eventNames())
    for (const listener of process.listeners(event as NodeJS.Signals))
      add(String(event), listener as Listener);
  process.on(
    'newListener',
    asOwn((event: string | symbol, listener: Listener) => add(String(event), listener)),
  );
  process.on(
    'removeListener',
    asOwn((event: string | symbol, given: Listener & { readonly listener?: Listener }) => {
      const of = heard.get(String(event));
      // Of those that listen once Node tells by what it has wrapped them in.
      const listener = given.listener ?? given;
      if (!of?.has(listener)) return;
      setImmediate(() => {
        if ((process.listeners(event as NodeJS.Signals) as Listener[]).includes(listener)) return;
        of.delete(listener);
        others.onChange(String(event));
      }).unref();
    }),
  );
  return others;
}

/**
 * How many of a signal's listeners are those of the package signal-exit, which many others load: it does its work at the exit, and leaves
 * that to whoever else listens. Versions 4 and 3.
 */
function countSignalExit(): number {
  type Emitter = { readonly count?: number } | undefined;
  const { [Symbol.for('signal-exit emitter')]: fourth } = globalThis as Record<symbol, Emitter>;
  const { __signal_exit_emitter__: third } = process as { __signal_exit_emitter__?: Emitter };
  return (fourth?.count ?? 0) + (third?.count ?? 0);
}
