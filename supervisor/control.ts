import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { messageOf } from '../src/errors.js';
import type { Logger, ShutdownReport } from '../src/index.js';
import type { ReloadReport, SupervisorState } from './events.js';
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

/** Where a supervisor's socket is unless told otherwise: in the user's folder, by program and process. */
export function controlPath(exec: string, pid: number, env: NodeJS.ProcessEnv): string {
  return join(stateFolder(env), `${nameOf(exec)}.${pid}${ENDING}`);
}

/** Whether a file in that folder is such a socket, and whose. */
export function pidOfControl(file: string): number | undefined {
  const pid = /\.(\d+)\.sock$/.exec(file)?.[1];
  return pid === undefined ? undefined : Number(pid);
}

/**
 * A unix socket through which a supervisor is asked and commanded, by its own user only. One that cannot be opened is no reason not to
 * serve: a warning says so.
 * @returns its undo.
 */
export function openControl(path: string, controlled: Controlled, log: Logger): () => void {
  const server = createServer((socket) => converse(socket, controlled));
  server.on('error', (error) =>
    log.warn(
      `the control socket ${path} cannot be opened: ${messageOf(error)}; shutdown-bus ctl has no effect`,
    ),
  );
  server.on('listening', () => log.info(`control socket: ${path}`));
  listenPrivately(server, path);
  server.unref();
  return () => {
    server.close();
    rmSync(path, { force: true });
  };
}

function listenPrivately(server: Server, path: string): void {
  // What a process of that number has left.
  if (pidOfControl(path) === process.pid) rmSync(path, { force: true });
  const mask = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(mask);
  }
  // Some systems take no notice of the mask.
  server.once('listening', () => chmodSync(path, 0o600));
}

function converse(socket: Socket, controlled: Controlled): void {
  // A client that has gone hears nothing; that is its business.
  socket.on('error', () => {});
  createInterface({ input: socket }).on('line', (line) => {
    void answer(line, controlled).then((text) => {
      if (socket.writable) socket.write(`${JSON.stringify(text)}\n`);
    });
  });
}

async function answer(line: string, controlled: Controlled): Promise<ControlAnswer> {
  try {
    return await carryOut(JSON.parse(line) as ControlRequest, controlled);
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
