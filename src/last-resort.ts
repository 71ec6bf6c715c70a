const STDERR = 2;
/** How long a full pipe may hold up the end of the process. */
const MOST_WAIT_MS = 500;

/**
 * Writes lines to stderr at once, without the event loop: the last thing a process can do for its open jobs.
 * Gives up when nobody reads for half a second; never throws.
 */
export function writeLastResort(lines: readonly string[]): void {
  if (lines.length === 0) return;
  const { writeSync } = process.getBuiltinModule('node:fs');
  const bytes = Buffer.from(`${lines.join('\n')}\n`);
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let written = 0, waited = 0; written < bytes.length && waited < MOST_WAIT_MS; ) {
    try {
      written += writeSync(STDERR, bytes, written);
      waited = 0;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      // A pipe that is full for now.
      Atomics.wait(pause, 0, 0, 5);
      waited += 5;
    }
  }
}
