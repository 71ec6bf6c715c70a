import { writeSync } from 'node:fs';
import { Writable } from 'node:stream';

/** How long a full pipe is left alone before the next try. */
const PAUSE_MS = 5;

/**
 * A stream that writes to a descriptor of the process without the main thread. A thread's own `process.stdout` hands
 * its text to the main thread, which never passes it on while it is blocked.
 */
export function directStream(descriptor: number): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      let written = 0;
      const go = () => {
        try {
          while (written < chunk.length) written += writeSync(descriptor, chunk, written);
          done();
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'EAGAIN') setTimeout(go, PAUSE_MS);
          else done(error as Error);
        }
      };
      go();
    },
  });
}
