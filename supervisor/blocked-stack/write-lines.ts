import { constants, openSync, writeSync } from 'node:fs';

/** A full pipe that nobody reads holds the thread up for so long. */
const MOST_WAIT_MS = 100;

/** Opens a file or named pipe to add lines to, `undefined` if that cannot be. A pipe that nobody reads is no reason to wait. */
export function openToAdd(path: string): number | undefined {
  const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = constants;
  try {
    return openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o600);
  } catch {
    return undefined;
  }
}

/** Writes all of it, as far as it is taken. Never throws. */
export function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  let waitedMs = 0;
  for (let written = 0; written < bytes.length && waitedMs < MOST_WAIT_MS; ) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      waitedMs += 1;
    }
  }
}
