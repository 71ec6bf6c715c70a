const STDERR = 2;
/** How long a full pipe may hold up the end of the process. */
const MOST_WAIT_MS = 500;

/**
 * Writes lines to stderr at once, without the event loop: the last thing a process can do for its open jobs.
 * Gives up when nobody reads for half a second; never throws.
 */
export function writeLastResort(lines: readonly string[]): void {
  const { writeSync } = process.getBuiltinModule('node:fs');
  const pause = new Int32Array(new SharedArrayBuffer(4));
  let waited = 0;
  for (const text of inPieces(lines)) {
    const bytes = Buffer.from(text);
    for (let written = 0; written < bytes.length; ) {
      try {
        written += writeSync(STDERR, bytes, written);
        waited = 0;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || waited >= MOST_WAIT_MS) return;
        // A pipe that is full for now.
        Atomics.wait(pause, 0, 0, 5);
        waited += 5;
      }
    }
  }
}

const PIECE_LENGTH = 2 ** 20;

/** Lines together, as long as they make no text that is too long to be one. */
function* inPieces(lines: readonly string[]): Generator<string> {
  let piece = '';
  for (const line of lines) {
    piece += `${line}\n`;
    if (piece.length < PIECE_LENGTH) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}
