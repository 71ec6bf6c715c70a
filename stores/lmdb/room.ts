import { closeSync, constants, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { readHeader } from './header.js';

/** So much is made at a time, when less than a quarter of it is left beside what is needed. */
const CHUNK_BYTES = 2 * 2 ** 20;
/** What a transaction writes besides its records: copies of the pages on the way, and the list of free ones. */
const OVERHEAD_BYTES = 80 * 1024;

/**
 * Sees to it that the data file is large enough before LMDB writes: a disk that is full is an error here, while LMDB corrupts
 * the process's memory when a write of its own fails.
 *
 * ```
 * |── used by LMDB ──|── zeros, on the disk already ──|
 *                     ◀────────── left ──────────────▶
 * ```
 */
export class Room {
  readonly #file: number;
  /** Bytes that may be written before the next look. */
  #left = 0;

  /** @param path the data file; it exists. */
  constructor(path: string) {
    this.#file = openSync(path, constants.O_RDWR | constants.O_APPEND);
  }

  /** Makes room for a transaction with so many bytes of records; inside the gate. @throws `ENOSPC`, `EDQUOT` and the like. */
  make(bytes: number): void {
    const wanted = bytes + OVERHEAD_BYTES;
    if (this.#left < wanted) this.#left = this.#look(wanted);
    this.#left -= wanted;
  }

  close(): void {
    closeSync(this.#file);
  }

  #look(wanted: number): number {
    const { size } = fstatSync(this.#file);
    // Other processes write to the same file.
    const left = size - (readHeader(this.#file)?.usedBytes ?? size);
    if (left >= wanted + CHUNK_BYTES / 4) return left;
    try {
      return left + this.#grow(size, wanted + CHUNK_BYTES);
    } catch {
      return left >= wanted ? left : left + this.#grow(size, wanted - left);
    }
  }

  /** By so many bytes, or not at all: half of a large record would leave no room for small ones. @returns the same number. */
  #grow(size: number, bytes: number): number {
    const zeros = Buffer.alloc(bytes);
    try {
      for (let written = 0; written < bytes; ) written += writeSync(this.#file, zeros, written);
    } catch (error) {
      // Nobody else writes to it meanwhile, nor opens it: we are inside the gate.
      ftruncateSync(this.#file, size);
      throw error;
    }
    return bytes;
  }
}
