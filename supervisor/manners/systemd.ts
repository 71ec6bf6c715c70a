import { type Clock, systemClock } from '../../src/clock.js';
import { messageOf } from '../../src/errors.js';
import type { Logger } from '../../src/logger.js';
import { type NotifyLine, openDatagramLine, openProgramLine } from './notify-line.js';

/** What systemd is told of a service. Every call returns at once, and none throws. */
export interface NotifySocket {
  /** It serves, or serves again after a reload. */
  ready(): void;
  /** A reload begins; `ready` ends it. */
  reloading(): void;
  /** Its shutdown has begun and may take so long from now, `Infinity` as well: systemd's limit is moved as far. */
  stopping(remainingMs: number): void;
  /** What `systemctl status` shows: one line. */
  status(text: string): void;
  /** Says nothing more. @returns when all that was said has been handed over. */
  close(): Promise<void>;
}

/** What else {@link openNotifySocket} may be told. */
export interface NotifySocketOptions {
  /** Leaves the variables where they are, for workers that speak to systemd themselves. @default false */
  readonly workersSpeak?: boolean;
  readonly clock?: Clock;
  /** The ways to systemd, the best first. @default koffi, systemd-notify */
  readonly lines?: readonly (() => NotifyLine)[];
}

/** How far systemd's limit is moved at a time: for longer than this a blocked event loop is not waited for. */
const MOST_EXTENSION_MS = 60_000;
const EXTEND_EVERY_MS = 15_000;
/** After the end of the budget: what comes then is the exit. */
const MARGIN_MS = 5000;

/**
 * The socket that systemd gave a service of `Type=notify` or `notify-reload`. With `WatchdogSec=` it also gives a sign of life, twice as
 * often as asked for, until it is closed.
 *
 * Takes `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` out of the environment: workers are to be silent. Node has no unix datagrams:
 * they go through the package koffi, else the program `systemd-notify`; with neither, a line says what helps.
 * @returns `undefined` when systemd waits for nothing, or cannot be told.
 * @see https://man7.org/linux/man-pages/man3/sd_notify.3.html
 */
export function openNotifySocket(
  env: NodeJS.ProcessEnv,
  log: Pick<Logger, 'info' | 'warn'>,
  options: NotifySocketOptions = {},
): NotifySocket | undefined {
  const { NOTIFY_SOCKET: address, WATCHDOG_USEC, WATCHDOG_PID } = env;
  if (!options.workersSpeak)
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name];
  if (!address) return undefined;
  const line = openLine(address, env, log, options.lines);
  if (line === undefined) return undefined;
  const watched = WATCHDOG_PID === undefined || WATCHDOG_PID === String(process.pid);
  const watchdogMs = watched ? Number(WATCHDOG_USEC ?? 0) / 1000 : 0;
  return new ServiceManager(line, watchdogMs, log, options.clock ?? systemClock);
}

function openLine(
  address: string,
  env: NodeJS.ProcessEnv,
  log: Pick<Logger, 'info' | 'warn'>,
  lines: readonly (() => NotifyLine)[] = [
    () => openDatagramLine(address),
    () => openProgramLine(address, env),
  ],
): NotifyLine | undefined {
  const hindrances: string[] = [];
  for (const open of lines) {
    try {
      const line = open();
      if (hindrances.length > 0)
        log.info(
          `systemd is told by the program systemd-notify (${hindrances.join('; ')}); for one that does not run as root the unit needs NotifyAccess=all`,
        );
      return line;
    } catch (error) {
      hindrances.push(messageOf(error));
    }
  }
  log.warn(
    `systemd cannot be told anything (${hindrances.join('; ')}): it will end a service of Type=notify as one that never became ready; ` +
      'what helps: npm install koffi, or the program systemd-notify',
  );
  return undefined;
}

class ServiceManager implements NotifySocket {
  readonly #line: NotifyLine;
  readonly #log: Pick<Logger, 'warn'>;
  readonly #clock: Clock;
  /** Not handed over yet, in order. */
  readonly #waiting: string[] = [];
  #handedOver = Promise.resolve();
  #isHandingOver = false;
  #isStopping = false;
  #hasFailed = false;
  #isClosed = false;
  readonly #timers = new Map<'watchdog' | 'extension', unknown>();

  constructor(line: NotifyLine, watchdogMs: number, log: Pick<Logger, 'warn'>, clock: Clock) {
    this.#line = line;
    this.#log = log;
    this.#clock = clock;
    if (watchdogMs > 0) this.#giveSign(watchdogMs / 2);
  }

  ready(): void {
    this.#say('READY=1');
  }

  reloading(): void {
    this.#say('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  status(text: string): void {
    this.#say(`STATUS=${text.replace(/\s*\n\s*/g, ' ')}`);
  }

  stopping(remainingMs: number): void {
    this.#extend(this.#clock.now() + remainingMs);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return this.#handedOver;
    this.#isClosed = true;
    for (const timer of this.#timers.values()) this.#clock.clearTimeout(timer);
    await this.#handedOver;
    this.#line.close();
  }

  #giveSign(everyMs: number): void {
    // One that still waits says the same.
    if (!this.#waiting.includes('WATCHDOG=1')) this.#say('WATCHDOG=1');
    this.#later('watchdog', everyMs, () => this.#giveSign(everyMs));
  }

  #extend(endsAt: number): void {
    const leftMs = Math.max(0, endsAt - this.#clock.now());
    const extensionMs = Math.min(leftMs, MOST_EXTENSION_MS) + MARGIN_MS;
    const extension = `EXTEND_TIMEOUT_USEC=${Math.ceil(extensionMs) * 1000}`;
    this.#say(...(this.#isStopping ? [] : ['STOPPING=1']), extension);
    this.#isStopping = true;
    // Asked twice, the last limit counts.
    this.#clock.clearTimeout(this.#timers.get('extension'));
    if (leftMs > EXTEND_EVERY_MS) this.#later('extension', EXTEND_EVERY_MS, () => this.#extend(endsAt));
  }

  /** Nobody stays alive for it. */
  #later(what: 'watchdog' | 'extension', ms: number, then: () => void): void {
    const timer = this.#clock.setTimeout(then, ms);
    (timer as { unref?: () => void }).unref?.();
    this.#timers.set(what, timer);
  }

  #say(...lines: string[]): void {
    if (this.#isClosed) return;
    this.#waiting.push(lines.join('\n'));
    if (!this.#isHandingOver) this.#handedOver = this.#handOver();
  }

  /** In the same tick as long as the line takes everything at once: what is said right before an exit is said. */
  async #handOver(): Promise<void> {
    this.#isHandingOver = true;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      try {
        const slow = this.#line.send(next);
        if (slow !== undefined) await slow;
        this.#hasFailed = false;
      } catch (error) {
        if (!this.#hasFailed)
          this.#log.warn(`systemd was not told ${JSON.stringify(next)}: ${messageOf(error)}`);
        this.#hasFailed = true;
      }
      this.#waiting.shift();
    }
    this.#isHandingOver = false;
  }
}
