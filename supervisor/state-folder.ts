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
  const { isOwn, uid } = lookAt(path, Boolean(env.STATE_DIRECTORY));
  if (isOwn) return path;
  throw new ShutdownError(
    'INVALID_ENVIRONMENT',
    `the folder ${path} belongs to user ${uid} or others may write to it, and open jobs would be kept there; remove it, or ${REMEDY}`,
  );
}

/**
 * Every such folder of this user that is there: whoever looks for a supervisor may have other variables than the one that has started it.
 */
export function stateFolders(env: NodeJS.ProcessEnv): string[] {
  const session = process.getuid && `/run/user/${process.getuid()}`;
  const places = [env, { ...env, STATE_DIRECTORY: '' }, { XDG_RUNTIME_DIR: session }, {}].map(placeOf);
  return [...new Set(places)].filter((path, index) => {
    try {
      return lookAt(path, index === 0 && Boolean(env.STATE_DIRECTORY)).isOwn;
    } catch {
      return false;
    }
  });
}

/** @param isManaged systemd has made it: it may be a link of its own. What stands in a folder for everybody must be none. */
function lookAt(path: string, isManaged: boolean): { readonly isOwn: boolean; readonly uid: number } {
  const stat = isManaged ? statSync(path) : lstatSync(path);
  const { uid, mode } = stat;
  const own = process.getuid?.() ?? uid;
  const isOpen = process.platform !== 'win32' && (mode & 0o022) !== 0;
  return { isOwn: uid === own && !isOpen, uid };
}

/** A name for what belongs to one program: two with the same file name are told apart. */
export function nameOf(exec: string): string {
  const file = basename(exec).replace(/[^\w.-]/g, '_');
  return `${file}-${createHash('sha256').update(exec).digest('hex').slice(0, 8)}`;
}

/** Where it is, by these variables. */
export function placeOf({ STATE_DIRECTORY, XDG_RUNTIME_DIR }: NodeJS.ProcessEnv): string {
  // Several, with colons between, when the unit asks for several.
  const [first] = (STATE_DIRECTORY ?? '').split(':');
  if (first) return first;
  if (XDG_RUNTIME_DIR) return join(XDG_RUNTIME_DIR, 'shutdown-bus');
  return join(tmpdir(), `shutdown-bus-${process.getuid?.() ?? userInfo().username}`);
}
