import { chmodSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { canSignal } from '../src/can-signal.js';
import { messageOf } from '../src/errors.js';
import type { Logger, ShutdownReport } from '../src/index.js';
import type { ReloadReport, SupervisorState } from './events.js';
import { isSocket } from './socket-file.js';
import { nameOf, stateFolder } from './state-folder.js';

/** What is asked through the control socket: one JSON line, answered by one. */
export type ControlRequest =
  | { readonly command: 'status' }
  | { readonly command: 'reload' }
  | { readonly command: 'scale'; readonly workers: number }
  | { readonly command: 'stop'; readonly unhurried?: boolean };

/** The answer: the state after the command, which has come to its end. */
export type ControlAnswer =
  | {
      readonly ok: true;
      readonly state: SupervisorState;
      readonly reload?: ReloadReport;
      readonly exitCode?: number;
    }
  | { readonly ok: false; readonly error: string };

/** What the door opens on. */
export interface Controlled {
  state(): SupervisorState;
  reload(): Promise<ReloadReport>;
  scale(workers: number): void;
  stop(options: { readonly unhurried?: boolean }): Promise<ShutdownReport>;
}

const ENDING = '.sock';
/** A longer path of a socket is cut off without a word. */
const MOST_BYTES = process.platform === 'darwin' ? 103 : 107;
/** Of one client, in all. */
const MOST_REQUEST_BYTES = 65_536;

/** Where a supervisor's socket is unless told otherwise: in the user's folder, by program and process. */
export function controlPath(exec: string, pid: number, env: NodeJS.ProcessEnv): string {
  const folder = stateFolder(env);
  const path = join(folder, `${nameOf(exec)}.${pid}${ENDING}`);
  return Buffer.byteLength(path) <= MOST_BYTES
    ? path
    : join(folder, `${nameOf(exec).slice(-8)}.${pid}${ENDING}`);
}

/** Whether a file in that folder is such a socket, and whose. */
export function pidOfControl(file: string): number | undefined {
  const pid = /\.(\d+)\.sock$/.exec(file)?.[1];
  return pid === undefined ? undefined : Number(pid);
}

/** Who listens at that path: somebody, or nobody any more. One that cannot be asked is `'silent'`. */
export function knock(path: string): Promise<'answered' | 'refused' | 'silent'> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      resolve('answered');
      socket.destroy();
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) =>
      resolve(code === 'ECONNREFUSED' ? 'refused' : 'silent'),
    );
  });
}

/** Removes what supervisors that were killed have left in that folder. Never rejects. */
export async function sweep(folder: string): Promise<void> {
  try {
    for (const file of readdirSync(folder)) {
      const pid = pidOfControl(file);
      const path = join(folder, file);
      // One that is about to listen refuses as well.
      if (pid === undefined || canSignal(pid) || !(await isLeftBehind(path))) continue;
      rmSync(path, { force: true });
    }
  } catch {
    // Whoever may not remove them leaves them.
  }
}

/**
 * A unix socket through which a supervisor is asked and commanded, by its own user only. One that cannot be opened is no reason not to
 * serve: a warning says so.
 * @returns its undo.
 */
export function openControl(path: string, controlled: Controlled, log: Logger): () => void {
  // `nc` says that it is through before it has its answer.
  const server = createServer({ allowHalfOpen: true }, (socket) => converse(socket, controlled));
  let isClosed = false;
  let isSecond = false;
  const fail = (error: unknown) =>
    log.warn(
      `the control socket ${path} cannot be used: ${messageOf(error)}; shutdown-bus ctl has no effect`,
    );
  const recover = async (error: NodeJS.ErrnoException) => {
    if (isSecond || error.code !== 'EADDRINUSE' || !(await isLeftBehind(path))) throw error;
    if (isClosed) return;
    isSecond = true;
    rmSync(path, { force: true });
    listenPrivately(server, path);
  };
  server.on('error', (error) => void recover(error).catch(fail));
  server.on('listening', () => {
    try {
      // Some systems take no notice of the mask.
      chmodSync(path, 0o600);
      log.info(`control socket: ${path}`);
    } catch (error) {
      fail(error);
    }
  });
  if (!existsSync(dirname(path))) fail(new Error(`its folder ${dirname(path)} does not exist, create it`));
  else if (Buffer.byteLength(path) <= MOST_BYTES) listenPrivately(server, path);
  else fail(new Error(`it has more than ${MOST_BYTES} bytes`));
  server.unref();
  return () => {
    isClosed = true;
    // Takes the file with it.
    server.close();
  };
}

function listenPrivately(server: Server, path: string): void {
  const mask = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(mask);
  }
}

/** A socket of somebody who was killed. Nothing else that may have that name. */
async function isLeftBehind(path: string): Promise<boolean> {
  return isSocket(path) && (await knock(path)) === 'refused';
}

function converse(socket: Socket, controlled: Controlled): void {
  // A client that has gone hears nothing; that is its business. The reader of its lines tells of it as well.
  socket.on('error', () => {});
  socket.on('data', () => {
    if (socket.bytesRead > MOST_REQUEST_BYTES) socket.destroy();
  });
  let last: Promise<void> = Promise.resolve();
  createInterface({ input: socket })
    .on('error', () => {})
    .on('line', (line) => {
      const answered = answer(line, controlled).then((text) => {
        if (socket.writable) socket.write(`${JSON.stringify(text)}\n`);
      });
      last = last.then(() => answered);
    })
    .on('close', () => void last.then(() => socket.end()));
}

async function answer(line: string, controlled: Controlled): Promise<ControlAnswer> {
  try {
    const request = JSON.parse(line) as ControlRequest | null;
    return await carryOut(request ?? ({} as ControlRequest), controlled);
  } catch (error) {
    return { ok: false, error: messageOf(error) };
  }
}

async function carryOut(request: ControlRequest, controlled: Controlled): Promise<ControlAnswer> {
  switch (request.command) {
    case 'status':
      return { ok: true, state: controlled.state() };
    case 'reload': {
      const reload = await controlled.reload();
      return { ok: true, state: controlled.state(), reload };
    }
    case 'scale':
      controlled.scale(request.workers);
      if (controlled.state().state !== 'running')
        throw new Error('the supervisor is stopping: it has no use for another number of workers');
      return { ok: true, state: controlled.state() };
    case 'stop': {
      const { exitCode } = await controlled.stop({ unhurried: request.unhurried === true });
      return { ok: true, state: controlled.state(), exitCode };
    }
    default:
      throw new Error(
        `the command is ${JSON.stringify((request as { command?: unknown }).command)}, allowed: status, reload, scale, stop`,
      );
  }
}
