import { spawnSync } from 'node:child_process';
import { linkSync, lstatSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * The file of a unix socket that workers share. It is how clients find the socket, and a program that serves alone often removes it before
 * it listens: under a supervisor that cuts off those who serve already.
 *
 * ```
 * app.sock ──▶ inode ◀── .app.sock.kept     a second name for it: app.sock can be put back
 * ```
 */
export class SocketFile {
  readonly #path: string;
  readonly #spare: string;

  constructor(path: string) {
    this.#path = path;
    this.#spare = join(dirname(path), `.${basename(path)}.kept`);
    try {
      rmSync(this.#spare, { force: true });
      linkSync(path, this.#spare);
    } catch {
      // A file system without second names.
    }
  }

  /** @returns `'there'` when nothing had to be done, `'lost'` when nothing could be. */
  restore(): 'there' | 'restored' | 'lost' {
    if (isSocket(this.#path)) return 'there';
    try {
      linkSync(this.#spare, this.#path);
      return 'restored';
    } catch {
      return 'lost';
    }
  }

  /** Removes the second name. Safe twice. */
  forget(): void {
    try {
      rmSync(this.#spare, { force: true });
    } catch {
      // Whoever may not remove it leaves it.
    }
  }
}

/** Whether there is such a file in the file system: Linux has sockets without, Windows has only those. */
export function isSocket(path: string): boolean {
  try {
    return lstatSync(path).isSocket();
  } catch {
    return false;
  }
}

const ASK = `
require('node:net').connect(process.argv[1])
  .on('connect', () => process.exit(0))
  .on('error', ({ code }) => process.exit(code === 'ECONNREFUSED' ? 1 : 0));`;

/**
 * Whether nobody listens on the socket at that path any more. Blocks for the time of a small process: whoever asks is about to listen, and
 * cannot.
 */
export function isLeftBehind(path: string): boolean {
  return (
    isSocket(path) &&
    spawnSync(process.execPath, ['-e', ASK, path], { env: {}, timeout: 10_000 }).status === 1
  );
}
