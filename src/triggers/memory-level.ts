import type { MemoryReading } from './control-groups.js';
import type { MemoryGauge } from './memory-gauges.js';

/** Use that has fallen to this share of the threshold is low again: it does not count as new each time it wavers. */
const LOW_SHARE = 0.95;
/** The room to speak never begins below this share of the limit. */
const LEAST_SHARE = 0.5;
/** Growth is taken over the last second, in milliseconds. */
const WINDOW_MS = 1000;

interface Sample {
  readonly atMs: number;
  readonly usedBytes: number;
}

/** How one gauge stands: below its threshold, above it since when, and how fast it rises. */
export class MemoryLevel {
  readonly gauge: MemoryGauge;
  reading: MemoryReading = { usedBytes: 0, limitBytes: Number.POSITIVE_INFINITY };
  /** On the clock; `undefined` while it is low. */
  highSinceMs: number | undefined;
  #samples: Sample[] = [];
  /** It was high without garbage. */
  #proven = false;
  #stopProving: (() => void) | undefined;

  constructor(gauge: MemoryGauge) {
    this.gauge = gauge;
  }

  /** Looks once. @param textBytes of all open jobs' reports. @param proven called when use turned out to be no garbage. */
  look(nowMs: number, textBytes: number, proven: () => void): void {
    this.reading = readingOf(this.gauge);
    const { usedBytes } = this.reading;
    this.#samples.push({ atMs: nowMs, usedBytes });
    // One that is older is kept, so that there are two.
    while (this.#samples.length > 2 && nowMs - (this.#samples[1] as Sample).atMs >= WINDOW_MS)
      this.#samples.shift();
    const threshold = this.#thresholdBytes(textBytes);
    if (usedBytes > threshold) this.#rise(nowMs, textBytes, proven);
    else if (usedBytes < threshold * LOW_SHARE) this.#fall();
  }

  /** Bytes to the threshold. */
  distanceBytes(textBytes: number): number {
    return Math.max(0, this.#thresholdBytes(textBytes) - this.reading.usedBytes);
  }

  /** High, and not only with garbage. */
  get isHigh(): boolean {
    return this.highSinceMs !== undefined && (this.#proven || this.gauge.onCollected === undefined);
  }

  /** Milliseconds until the limit that ends the process, at the present pace. */
  get leftMs(): number {
    if (this.gauge.room === undefined) return Number.POSITIVE_INFINITY;
    const { usedBytes, limitBytes } = this.reading;
    const leftBytes = limitBytes - usedBytes - this.gauge.leapBytes;
    if (leftBytes <= 0) return 0;
    return this.growth > 0 ? leftBytes / this.growth : Number.POSITIVE_INFINITY;
  }

  /** Bytes a millisecond, less what may be a leap and no growth. */
  get growth(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || last.atMs === first.atMs) return 0;
    const grownBytes = last.usedBytes - first.usedBytes - this.gauge.leapBytes;
    return Math.max(0, grownBytes) / (last.atMs - first.atMs);
  }

  /** Looks no more. */
  close(): void {
    this.#stopProving?.();
    this.#stopProving = undefined;
  }

  #thresholdBytes(textBytes: number): number {
    const { share, room } = this.gauge;
    const { limitBytes } = this.reading;
    if (room === undefined) return limitBytes * share;
    const roomBytes = room.leastBytes + room.times * textBytes;
    return Math.min(limitBytes * share, Math.max(limitBytes - roomBytes, limitBytes * LEAST_SHARE));
  }

  #rise(nowMs: number, textBytes: number, proven: () => void): void {
    if (this.highSinceMs !== undefined) return;
    this.highSinceMs = nowMs;
    // How it came here says nothing of where it goes: a leap may be all there is to it.
    this.#samples.splice(0, this.#samples.length - 1);
    this.#stopProving = this.gauge.onCollected?.(() => {
      if (readingOf(this.gauge).usedBytes <= this.#thresholdBytes(textBytes)) return;
      this.#proven = true;
      this.close();
      proven();
    });
  }

  #fall(): void {
    this.highSinceMs = undefined;
    this.#proven = false;
    this.close();
  }
}

function readingOf(gauge: MemoryGauge): MemoryReading {
  try {
    return gauge.read();
  } catch {
    // Its group is gone, and its limit with it.
    return { usedBytes: 0, limitBytes: Number.POSITIVE_INFINITY };
  }
}
