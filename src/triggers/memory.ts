import { SPEAK_MS } from '../budget.js';
import type { Clock } from '../clock.js';
import type { ShutdownReason } from '../reason.js';
import type { MemoryGauge } from './memory-gauges.js';
import { MemoryLevel } from './memory-level.js';

export { memoryGauges } from './memory-gauges.js';

/** When memory use begins a shutdown, so that the process can still speak before it is killed without a word. */
export interface MemoryWatchOptions {
  /**
   * A share of the limits that are found, those of V8's heap and of the container (`'90%'`); less where that would leave no room
   * to speak. Or so much resident memory of this process (`400_000_000`, `'400MiB'`), besides 90 % of those limits.
   * @default '90%'
   */
  readonly limit?: string | number;
  /**
   * Milliseconds that use must stay high to be no spike; less when at its pace the limit would be reached before. It is looked at
   * as often, and the more often the nearer it is, down to every 10 ms.
   * @default 1000
   */
  readonly intervalMs?: number;
}

/** What the watch looks at. */
export interface MemoryWatch {
  readonly clock: Clock;
  readonly intervalMs: number;
  readonly gauges: readonly MemoryGauge[];
  /** About how many bytes the reports of all open jobs are. */
  textBytes(): number;
}

/** What the watch does to its bus. */
export interface MemoryActions {
  /** Whether a shutdown is under way, for whatever reason. */
  stopping(): boolean;
  /** Begins it. */
  trigger(reason: ShutdownReason): void;
  /** Called again and again while use is high in a shutdown: at its pace memory runs out in so many milliseconds. */
  press(leftMs: number): void;
  /** Something its operator should know. */
  warn(line: string): void;
}

/** The shortest pause between two looks: near the threshold, and above it, where each tells how fast it goes on. One costs about 70 µs. */
const PAUSE_MS = { near: 25, high: 10 } as const;
/** What use is taken to grow by at most, in bytes a millisecond: so far from the threshold no look is needed. */
const FASTEST = 512 * 1024;
/** Below this share of a limit what reports would take is not even estimated. */
const EASY_SHARE = 0.4;

/**
 * Begins a shutdown while there is still room to speak, and presses it on while that room gets less. Returns its undo.
 *
 * ```
 * limit      ──────────────────────────────── killed without a word
 *               room to speak       press: the drain is cut short when the limit is near at this pace
 * threshold  ────────/\──────/─────── begin: high for intervalMs, or not long enough away from the limit for that
 *                   /  \____/
 * 95 % of it ──────/────\──/──────── below it is low again: one spike ends no service
 * ```
 * Its timers do not keep the process alive.
 */
export function watchMemory(watch: MemoryWatch, actions: MemoryActions): () => void {
  const watcher = new Watcher(watch, actions);
  watcher.look();
  return () => watcher.close();
}

class Watcher {
  readonly #watch: MemoryWatch;
  readonly #actions: MemoryActions;
  readonly #levels: readonly MemoryLevel[];
  #text = { bytes: 0, atMs: Number.NEGATIVE_INFINITY };
  #timer: unknown;
  #closed = false;

  constructor(watch: MemoryWatch, actions: MemoryActions) {
    this.#watch = watch;
    this.#actions = actions;
    this.#levels = watch.gauges.map((gauge) => new MemoryLevel(gauge));
  }

  readonly look = (): void => {
    const { clock } = this.#watch;
    clock.clearTimeout(this.#timer);
    if (this.#closed) return;
    const textBytes = this.#textBytes(clock.now());
    for (const level of this.#levels) level.look(clock.now(), textBytes, this.look);
    this.#act(clock.now());
    if (!this.#closed) this.#schedule(textBytes);
  };

  close(): void {
    this.#closed = true;
    this.#watch.clock.clearTimeout(this.#timer);
    for (const level of this.#levels) level.close();
  }

  #act(nowMs: number): void {
    const high = this.#levels.filter(({ isHigh }) => isHigh);
    if (this.#actions.stopping()) {
      if (high.length > 0) this.#actions.press(Math.min(...high.map(({ leftMs }) => leftMs)));
      return;
    }
    const due = high.find((level) => this.#isDue(level, nowMs));
    if (due === undefined) return;
    this.#actions.warn(describe(due));
    this.#actions.trigger({ kind: 'memory', ...due.reading });
  }

  #isDue({ highSinceMs, leftMs, gauge }: MemoryLevel, nowMs: number): boolean {
    // Proven by a collection.
    if (gauge.onCollected !== undefined) return true;
    const waitMs = this.#watch.intervalMs - (nowMs - (highSinceMs as number));
    return waitMs <= 0 || leftMs < waitMs + SPEAK_MS;
  }

  #schedule(textBytes: number): void {
    const { clock, intervalMs } = this.#watch;
    const nearest = Math.min(...this.#levels.map((level) => level.distanceBytes(textBytes)));
    const pauseMs = this.#levels.some(({ isHigh }) => isHigh) ? PAUSE_MS.high : PAUSE_MS.near;
    const ms = Math.min(intervalMs, Math.max(pauseMs, nearest / FASTEST));
    this.#timer = clock.setTimeout(this.look, ms);
    (this.#timer as { unref?: () => void }).unref?.();
  }

  /** Estimated when it may matter, once an interval. */
  #textBytes(nowMs: number): number {
    const isEasy = this.#levels.every(({ reading }) => reading.usedBytes < reading.limitBytes * EASY_SHARE);
    if (!isEasy && nowMs - this.#text.atMs >= this.#watch.intervalMs)
      this.#text = { bytes: this.#watch.textBytes(), atMs: nowMs };
    return this.#text.bytes;
  }
}

function describe({ gauge, reading, growth }: MemoryLevel): string {
  const [used, limit, rate] = [reading.usedBytes, reading.limitBytes, growth * 1000].map(
    (bytes) => `${Math.round(bytes / 2 ** 20)} MiB`,
  );
  const pace = growth > 0 ? `, ${rate} a second more` : '';
  const state = reading.usedBytes > reading.limitBytes ? 'over its limit' : 'nearly used up';
  return `${gauge.name} is ${state}: ${used} of ${limit}${pace}`;
}
