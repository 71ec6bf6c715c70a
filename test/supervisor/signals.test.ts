import { afterEach, describe, expect, it } from 'vitest';
import { resolveOptions, type SuperviseOptions } from '../../supervisor/options.js';
import { listenToSignals } from '../../supervisor/signals.js';

const undo: (() => void)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

/** What each signal has done, in order. */
function listen(options: Partial<SuperviseOptions> = {}): {
  readonly story: string[];
  readonly off: () => void;
  /** A stop begins. */
  readonly stop: () => void;
} {
  let isStopping = false;
  const story: string[] = [];
  const off = listenToSignals(resolveOptions({ exec: 'app.js', ...options }, {}), {
    reload: () => void story.push('reload'),
    scaleBy: (workers) => void story.push(`scale by ${workers}`),
    stopUnhurried: (signal) => void story.push(`stop for ${signal}`),
    isStopping: () => isStopping,
    ignored: (signal) => void story.push(`${signal} ignored`),
  });
  undo.push(off);
  return {
    story,
    off,
    stop: () => {
      isStopping = true;
    },
  };
}

/** As if it had come. Says whether anybody listens. */
const come = (signal: NodeJS.Signals) => process.emit(signal, signal);

/** One of the three streams is a terminal, or none. */
function onTerminal(one: 'stdin' | 'stdout' | 'stderr' | undefined): void {
  for (const name of ['stdin', 'stdout', 'stderr'] as const) {
    const { isTTY } = process[name];
    Object.defineProperty(process[name], 'isTTY', {
      value: name === one,
      configurable: true,
      writable: true,
    });
    undo.push(() => Object.assign(process[name], { isTTY }));
  }
}

describe('signals to a primary', () => {
  it('D15: SIGHUP and SIGUSR2 reload, SIGTTIN and SIGTTOU scale by one, SIGWINCH stops without haste', () => {
    onTerminal(undefined);
    const { story } = listen();
    for (const signal of ['SIGHUP', 'SIGUSR2', 'SIGTTIN', 'SIGTTOU', 'SIGWINCH'] as const) come(signal);
    expect(story).toEqual(['reload', 'reload', 'scale by 1', 'scale by -1', 'stop for SIGWINCH']);
  });

  it('D15: the ones that were asked for do it, and the usual ones nothing', () => {
    onTerminal(undefined);
    const { story } = listen({ reloadSignals: ['SIGPIPE'], unhurriedSignals: ['SIGURG'] });
    const before = [come('SIGHUP'), come('SIGUSR2'), come('SIGWINCH')];
    expect(before).toEqual([false, false, false]);
    come('SIGPIPE');
    come('SIGURG');
    expect(story).toEqual(['reload', 'stop for SIGURG']);
  });

  it('during a stop have no effect, not even what they would do by themselves', () => {
    onTerminal(undefined);
    const { story, stop } = listen();
    stop();
    const names = ['SIGHUP', 'SIGUSR2', 'SIGTTIN', 'SIGTTOU', 'SIGWINCH'] as const;
    expect(names.map(come)).toEqual(names.map(() => true));
    expect(story).toEqual(names.map((name) => `${name} ignored`));
  });

  it('those that end the service are left to its bus', () => {
    listen();
    expect([come('SIGTERM'), come('SIGINT'), come('SIGQUIT')]).toEqual([false, false, false]);
  });

  it.each(['stdin', 'stdout', 'stderr'] as const)(
    'D11: SIGWINCH does nothing where %s is a terminal, which sends it when its window changes',
    (stream) => {
      onTerminal(stream);
      const { story } = listen({ unhurriedSignals: ['SIGWINCH', 'SIGURG'] });
      expect(come('SIGWINCH')).toBe(false);
      // Any other one that was asked for means what it says.
      come('SIGURG');
      expect(story).toEqual(['stop for SIGURG']);
    },
  );

  it('are nobody’s any more afterwards: no listener stays', () => {
    onTerminal(undefined);
    const names = ['SIGHUP', 'SIGUSR2', 'SIGTTIN', 'SIGTTOU', 'SIGWINCH'] as const;
    const count = () => names.map((name) => process.listenerCount(name));
    const before = count();
    const { off, story } = listen();
    expect(count()).toEqual(before.map((listeners) => listeners + 1));
    off();
    expect(count()).toEqual(before);
    come('SIGHUP');
    expect(story).toEqual([]);
  });
});
