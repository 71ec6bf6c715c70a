import { readSync } from 'node:fs';

const MAGIC = 0xbeefc0de;
const VERSIONS = [1, 2];
/** Before the magic number in each of the first two pages: a page's head, 16 bytes at first, 24 today. */
const PAGE_HEADS = [16, 24];
/** From the magic number to the page size, and to the last page's number. */
const PAGE_SIZE_AT = 24;
const LAST_PAGE_AT = 120;
const HEADER_BYTES = 256;

/** What the first two pages of a data file say. */
export interface Header {
  readonly pageSize: number;
  /** What the file must hold. */
  readonly usedBytes: number;
}

/** Reads it; `undefined` when the file is none of LMDB's. @param file a descriptor */
export function readHeader(file: number): Header | undefined {
  const first = Buffer.alloc(HEADER_BYTES);
  if (readSync(file, first, 0, HEADER_BYTES, 0) < HEADER_BYTES) return undefined;
  const at = PAGE_HEADS.find((head) => first.readUInt32LE(head) === MAGIC);
  if (at === undefined || !VERSIONS.includes(first.readUInt32LE(at + 4) & 0xffff)) return undefined;
  const pageSize = first.readUInt32LE(at + PAGE_SIZE_AT);
  if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) return undefined;
  const second = Buffer.alloc(HEADER_BYTES);
  readSync(file, second, 0, HEADER_BYTES, pageSize);
  // The two take turns; whichever is valid and further counts.
  const lastPages = [first, second]
    .filter((page) => page.readUInt32LE(at) === MAGIC)
    .map((page) => Number(page.readBigUInt64LE(at + LAST_PAGE_AT)));
  return { pageSize, usedBytes: (Math.max(...lastPages) + 1) * pageSize };
}
