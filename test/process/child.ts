import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** How a child ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Milliseconds from the last `kill` to the exit. */
  readonly afterKillMs: number;
}

/** A real process that runs a fixture. */
export interface Child {
  readonly process: ChildProcess;
  /** Resolves when a line of stdout or stderr contains that text. */
  line(text: string): Promise<void>;
  /** Resolves when that holds; looked at with everything it says. */
  when(holds: () => boolean, what: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** What it has said so far. */
  texts(): { readonly stdout: string; readonly stderr: string };
  readonly ended: Promise<Ending>;
}

interface ChildOptions {
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Of Node itself. */
  readonly flags?: readonly string[];
  /** Runs the command through something else: `['unshare', '--pid', …]`. */
  readonly through?: readonly string[];
  readonly ipc?: boolean;
  /** A descriptor of this process that is number 3 of the child. */
  readonly inherits?: number;
  /** Do not read stdout: the test does. */
  readonly ownStdout?: boolean;
}

const FIXTURES = new URL('./fixtures/', import.meta.url);

/** A variable set by the machine must not choose the platform, the service or a notifier of a fixture. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(SHUTDOWN_|NODE_OPTIONS|VITEST|K_SERVICE|NODE_V8_COVERAGE)/.test(name),
    ),
  );
}

/** For `through`: no more than 128 file descriptors, which are soon used up. */
export const FEW_DESCRIPTORS = ['sh', '-c', 'ulimit -n 128; exec "$@"', 'sh'];

/** Starts `test/process/fixtures/<fixture>` with this Node. Ended with the test process at the latest. */
export function start(fixture: string, options: ChildOptions = {}): Child {
  const { args = [], env = {}, flags = [], through = [], ipc = false, inherits, ownStdout = false } = options;
  const program = fileURLToPath(new URL(fixture, FIXTURES));
  const command = [...through, process.execPath, ...flags, program, ...args];
  const child = spawn(command[0] as string, command.slice(1), {
    env: { ...plainEnvironment(), ...env },
    stdio: [
      'pipe',
      'pipe',
      'pipe',
      ...(ipc ? (['ipc'] as const) : []),
      ...(inherits === undefined ? [] : [inherits]),
    ],
  });
  const texts = { stdout: '', stderr: '' };
  const watchers = new Set<() => void>();
  for (const name of ownStdout ? (['stderr'] as const) : (['stdout', 'stderr'] as const)) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      texts[name] += text;
      for (const watcher of watchers) watcher();
    });
  }
  let isClosed = false;
  let killedAt = performance.now();
  const ended = new Promise<Ending>((resolve) => {
    let afterKillMs = 0;
    child.on('exit', () => {
      afterKillMs = performance.now() - killedAt;
    });
    // Only now nothing more can come from it, nor from those who have its output.
    child.on('close', (code, signal) => {
      isClosed = true;
      for (const watcher of watchers) watcher();
      resolve({ code, signal, ...texts, afterKillMs });
    });
  });
  const when = (holds: () => boolean, what: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = () => {
        if (holds()) resolve();
        else if (isClosed) reject(new Error(`ended before ${what}:\n${texts.stdout}\n${texts.stderr}`));
        else return;
        watchers.delete(look);
      };
      watchers.add(look);
      look();
    });
  return {
    process: child,
    ended,
    texts: () => ({ ...texts }),
    kill: (signal) => {
      killedAt = performance.now();
      child.kill(signal);
    },
    when,
    line: (text) =>
      when(() => texts.stdout.includes(text) || texts.stderr.includes(text), `it said "${text}"`),
  };
}

/** Starts a fixture, waits for its `ready`, sends the signal, waits for the end. */
export async function startAndKill(
  fixture: string,
  signal: NodeJS.Signals,
  options: ChildOptions = {},
): Promise<Ending> {
  const child = start(fixture, options);
  await child.line('ready');
  child.kill(signal);
  return child.ended;
}

/** The envelopes among lines of text; of the last one only the beginning may have come. */
export function envelopesIn(text: string): { id: string; subject: string; data: Record<string, unknown> }[] {
  return text
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{"specversion"'))
    .map((line) => JSON.parse(line));
}
