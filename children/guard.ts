import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import { messageOf } from '../src/errors.js';
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
  readonly #program: string;
  #shell: ChildProcess | undefined;
  #starts = 0;
  #hasGivenUp = false;

  constructor(warn: (line: string) => void, program = '/bin/sh') {
    this.#warn = warn;
    this.#program = program;
  }

  /** Starts it, where that was not done yet: before the child that it is to watch. */
  start(): void {
    if (this.#shell !== undefined || process.pid === 1) return;
    if (process.platform === 'win32') return;
    if (this.#starts >= MOST_STARTS) {
      this.#giveUp();
      return;
    }
    this.#starts += 1;
    try {
      this.#spawn();
    } catch (error) {
      // Most failures come as an event; this one must not be the end of who wanted a child.
      this.#failed(error);
    }
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

  #spawn(): void {
    // In a session of its own: what ends this process's group or terminal leaves it alone.
    const shell = spawn(this.#program, ['-c', GUARD_SCRIPT, 'shutdown-bus-guard'], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      cwd: '/',
    });
    this.#shell = shell;
    shell.unref();
    (shell.stdin as Socket | null)?.unref();
    shell.stdin?.on('error', () => {});
    shell.on('error', (error) => {
      // The next child is another chance.
      if (this.#shell === shell) this.#shell = undefined;
      this.#failed(error);
    });
    shell.on('exit', () => this.#again(shell));
    for (const ward of this.#wards.values()) this.#tell(ward);
  }

  /** Somebody ended it. */
  #again(shell: ChildProcess): void {
    if (this.#shell !== shell) return;
    this.#shell = undefined;
    if (this.#wards.size > 0) this.start();
  }

  #failed(error: unknown): void {
    this.#warn(
      `children would outlive a kill of this process: no shell can be started to watch over them: ${messageOf(error)}`,
    );
  }

  #giveUp(): void {
    if (this.#hasGivenUp) return;
    this.#hasGivenUp = true;
    this.#warn(
      `children would outlive a kill of this process: the shell that watches over them was started ${MOST_STARTS} times, and none is left; does somebody end it?`,
    );
  }

  #tell(ward: Ward): void {
    // By number: not every shell knows every name.
    const signal = ward.signal === undefined ? 0 : constants.signals[ward.signal];
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
