import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Logger } from '../src/logger.js';
import { GUARD_SCRIPT } from './guard-script.js';

/** One that is to be ended should this process be killed. */
export interface Ward {
  readonly pid: number;
  /** Of the whole process group that it leads. */
  readonly group: boolean;
  /** What asks it to end; `undefined` when it was asked already. */
  readonly signal: NodeJS.Signals | undefined;
  /** Until SIGKILL. */
  readonly timeoutMs: number;
}

const TICK_MS = 100;
const MOST_STARTS = 5;

/**
 * A shell process beside this one that ends its children should it be killed: it notices by the end of its input, which not even
 * SIGKILL can hold back. It costs about a megabyte. PID 1 needs none: with it ends its whole container.
 */
export class Guard {
  readonly #wards = new Map<number, Ward>();
  readonly #warn: (line: string) => void;
  #shell: ChildProcess | undefined;
  #starts = 0;

  constructor(warn: (line: string) => void) {
    this.#warn = warn;
  }

  /** Starts it, where that was not done yet: before the child that it is to watch. */
  start(): void {
    if (this.#shell !== undefined || process.pid === 1) return;
    if (process.platform === 'win32') return;
    if (this.#starts >= MOST_STARTS) return;
    this.#starts += 1;
    // In a session of its own: what ends this process's group or terminal leaves it alone.
    const shell = spawn('/bin/sh', ['-c', GUARD_SCRIPT, 'shutdown-bus-guard'], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      cwd: '/',
    });
    this.#shell = shell;
    shell.unref();
    (shell.stdin as Socket | null)?.unref();
    shell.stdin?.on('error', () => {});
    shell.on('error', (error) =>
      this.#warn(
        `children would outlive a kill of this process: no shell can be started to watch over them: ${error.message}`,
      ),
    );
    shell.on('exit', () => this.#again(shell));
    for (const ward of this.#wards.values()) this.#tell(ward);
  }

  /** Takes a child on, or notes what has changed about it. */
  watch(ward: Ward): void {
    this.#wards.set(ward.pid, ward);
    if (this.#shell === undefined) this.start();
    else this.#tell(ward);
  }

  /** It has ended, or is nobody's business any more. */
  forget(pid: number): void {
    const ward = this.#wards.get(pid);
    if (ward === undefined) return;
    this.#wards.delete(pid);
    this.#write(`- ${targetOf(ward)}`);
  }

  /** Somebody ended it. */
  #again(shell: ChildProcess): void {
    if (this.#shell !== shell) return;
    this.#shell = undefined;
    if (this.#wards.size > 0) this.start();
  }

  #tell(ward: Ward): void {
    const signal = ward.signal?.replace(/^SIG/, '') ?? '0';
    this.#write(`+ ${targetOf(ward)} ${signal} ${Math.ceil(ward.timeoutMs / TICK_MS)}`);
  }

  #write(line: string): void {
    if (this.#shell?.stdin?.writable) this.#shell.stdin.write(`${line}\n`);
  }
}

let shared: Guard | undefined;

/** That of this process. */
export function guardOf({ warn }: Pick<Logger, 'warn'>): Guard {
  shared ??= new Guard(warn);
  return shared;
}

function targetOf({ pid, group }: Ward): string {
  return String(group ? -pid : pid);
}
