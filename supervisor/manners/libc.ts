import { createRequire } from 'node:module';
import { messageOf, ShutdownError } from '../../src/errors.js';

/** The C library of this process. */
export interface Libc {
  /** `'int waitpid(int pid, void *status, int options)'` becomes a function; it blocks the event loop for as long as it takes. */
  func(declaration: string): (...values: unknown[]) => number;
  /** Of the last call. */
  errno(): number;
}

type Koffi = Pick<typeof import('koffi'), 'load' | 'errno'>;

/**
 * Opens the C library through the package koffi: Node has neither waitpid nor unix datagrams.
 * @throws {ShutdownError} `PACKAGE_MISSING` when koffi is not installed, or has nothing for this machine.
 */
export function openLibc(load: (name: string) => unknown = createRequire(import.meta.url)): Libc {
  try {
    const koffi = load('koffi') as Koffi;
    // What is linked into Node already, glibc or musl: no file has to be found.
    const library = koffi.load(null);
    return { func: (declaration) => library.func(declaration), errno: () => koffi.errno() };
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    const advice = 'koffi is not installed: npm install koffi';
    const why = missing ? advice : `koffi cannot be loaded: ${messageOf(error)}`;
    throw new ShutdownError('PACKAGE_MISSING', why, { cause: error });
  }
}
