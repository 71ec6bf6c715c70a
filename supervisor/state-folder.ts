import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, statSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { basename, join } from 'node:path';
import { messageOf } from '../src/errors.js';
import { ShutdownError } from '../src/index.js';

const REMEDY = 'set XDG_RUNTIME_DIR, SHUTDOWN_STORE and control to places of your own';

/**
 * The folder of a user's supervisors, where no other user can put or read anything: jobs that are to be reported after the death of
 * all of them, and the control sockets.
 *
 * ```
 * STATE_DIRECTORY                        systemd, with StateDirectory=
 * XDG_RUNTIME_DIR/shutdown-bus           a session
 * <temporary files>/shutdown-bus-<uid>   else
 * ```
 * @returns its path; it is there, mode 0700.
 * @throws {ShutdownError} `INVALID_ENVIRONMENT` when somebody else owns it, or it cannot be made.
 */
export function stateFolder(env: NodeJS.ProcessEnv): string {
  const path = placeOf(env);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new ShutdownError(
      'INVALID_ENVIRONMENT',
      `the folder ${path} for open jobs and the control socket cannot be made: ${messageOf(error)}; ${REMEDY}`,
    );
  }
  // What systemd has made may be a link of its own; what stands in a folder for everybody must be none.
  const { uid, mode } = env.STATE_DIRECTORY ? statSync(path) : lstatSync(path);
  const own = process.getuid?.() ?? uid;
  const isOpen = process.platform !== 'win32' && (mode & 0o022) !== 0;
  if (uid === own && !isOpen) return path;
  throw new ShutdownError(
    'INVALID_ENVIRONMENT',
    `the folder ${path} belongs to user ${uid} or others may write to it, and open jobs would be kept there; remove it, or ${REMEDY}`,
  );
}

/** A name for what belongs to one program: two with the same file name are told apart. */
export function nameOf(exec: string): string {
  const file = basename(exec).replace(/[^\w.-]/g, '_');
  return `${file}-${createHash('sha256').update(exec).digest('hex').slice(0, 8)}`;
}

function placeOf({ STATE_DIRECTORY, XDG_RUNTIME_DIR }: NodeJS.ProcessEnv): string {
  // Several, with colons between, when the unit asks for several.
  const [first] = (STATE_DIRECTORY ?? '').split(':');
  if (first) return first;
  if (XDG_RUNTIME_DIR) return join(XDG_RUNTIME_DIR, 'shutdown-bus');
  return join(tmpdir(), `shutdown-bus-${process.getuid?.() ?? userInfo().username}`);
}
