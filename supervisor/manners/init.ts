import { accessSync, constants } from 'node:fs';
import { messageOf } from '../../src/errors.js';
import type { Logger } from '../../src/logger.js';
import { openLibc } from './libc.js';
import { hasOwnProc, reapZombies } from './zombies.js';

/** How the shell that stands in for process 1 calls itself. */
export const INIT_NAME = 'shutdown-bus-init';

const SHELL = '/bin/sh';

/**
 * Starts its arguments as a child, hands every signal on, waits for orphans as shells do, and ends with the child's exit code, 128 + n
 * for a signal.
 *
 * On a terminal the keys' signals are not handed on: the terminal sends them to the child as well, and a second SIGINT would be one
 * too many. `wait` ends early with each signal; its last word, before 127 says that there is nothing left to wait for, is the code.
 */
export const INIT_SCRIPT = `
pid=
early=
forward() {
  heard=1
  if [ -n "$pid" ]; then kill -s "$1" "$pid" 2>/dev/null; else early="$early $1"; fi
}
for signal in HUP ABRT USR1 USR2 ALRM TERM CONT TTIN TTOU; do
  trap "forward $signal" "$signal"
done
for signal in INT QUIT WINCH; do
  if [ -t 0 ]; then trap heard=1 "$signal"; else trap "forward $signal" "$signal"; fi
done
exec 3<&0
"$@" <&3 3<&- &
pid=$!
exec 3<&- </dev/null
for signal in $early; do kill -s "$signal" "$pid"; done
code=
while :; do
  heard=
  wait "$pid"
  last=$?
  if [ "$last" = 127 ] && [ -n "$code" ]; then break; fi
  code=$last
  if [ -z "$heard" ]; then break; fi
done
exit "$code"
`;

type Execve = (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => never;

/**
 * Does as process 1 of a container what is expected of it: waits for the processes that others leave behind, which would stay as
 * zombies. Elsewhere it does nothing.
 *
 * With the package koffi, in this process. Without it, and from Node 22.15 on, a shell takes the place of process 1 and starts this
 * program once more, as its child: so call this before anything else. With neither, a line says what helps.
 * @returns its undo; `undefined` where there is nothing to undo.
 */
export function beInit(log: Pick<Logger, 'info' | 'warn'>): (() => void) | undefined {
  if (process.pid !== 1) return undefined;
  const hindrances: string[] = [];
  for (const way of [reapHere, () => standBehindShell(log)]) {
    try {
      return way();
    } catch (error) {
      hindrances.push(messageOf(error));
    }
  }
  log.warn(
    `this is process 1 of its container, and processes that lose their parent will stay as zombies (${hindrances.join('; ')}); ` +
      `what helps: npm install koffi, or Node 22.15 with ${SHELL}, or an init: docker run --init`,
  );
  return undefined;
}

function reapHere(): () => void {
  if (!hasOwnProc()) throw new Error('/proc does not show the processes of this container');
  return reapZombies(openLibc());
}

/** Returns only by an error. */
function standBehindShell({ info }: Pick<Logger, 'info'>): never {
  const { execve } = process as { execve?: Execve };
  if (execve === undefined) throw new Error(`Node ${process.versions.node} has no process.execve`);
  // Where Node cannot be replaced any more it ends.
  accessSync(SHELL, constants.X_OK);
  info(`process 1 becomes a shell that waits for the processes of this container: ${INIT_NAME}`);
  const program = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  return execve.call(process, SHELL, ['sh', '-c', INIT_SCRIPT, INIT_NAME, ...program], process.env);
}
