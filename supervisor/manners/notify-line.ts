import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { endianness } from 'node:os';
import { delimiter, join } from 'node:path';
import { openLibc } from './libc.js';

/** A way to the service manager. */
export interface NotifyLine {
  /**
   * Hands one message over, of lines like `READY=1`.
   * @returns a promise where that takes a while; without one it is done.
   * @throws what hindered it.
   */
  send(message: string): Promise<void> | undefined;
  close(): void;
}

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const EAGAIN = 11;
/** Until a manager whose queue is full is tried again. */
const FULL_MS = 50;
/** Of `struct sockaddr_un`. */
const MOST_PATH_BYTES = 108;

/**
 * A unix datagram socket, through the package koffi. What comes from it comes from this process, as systemd sees it.
 * @throws {ShutdownError} `PACKAGE_MISSING` without koffi; an error for an address that is none, such as `vsock:2:1234`.
 * @see https://man7.org/linux/man-pages/man3/sd_notify.3.html
 */
export function openDatagramLine(address: string, libc = openLibc()): NotifyLine {
  const to = addressOf(address);
  const socket = libc.func('int socket(int domain, int type, int protocol)');
  const close = libc.func('int close(int fd)');
  const sendto = libc.func(
    'long sendto(int fd, const void *data, size_t bytes, int flags, const void *to, uint32_t length)',
  );
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new Error(`no socket can be opened (errno ${libc.errno()})`);
  const send = (message: string): Promise<void> | undefined => {
    const data = Buffer.from(message);
    if (sendto(fd, data, data.length, MSG_DONTWAIT | MSG_NOSIGNAL, to, to.length) >= 0) return undefined;
    const errno = libc.errno();
    if (errno !== EAGAIN) throw new Error(`${address} does not take it (errno ${errno})`);
    return new Promise<void>((resolve) => setTimeout(resolve, FULL_MS)).then(() => send(message));
  };
  return { send, close: () => void close(fd) };
}

/** `struct sockaddr_un`, without what follows the path. */
function addressOf(address: string): Buffer {
  const path = Buffer.from(address.startsWith('/') ? `${address}\0` : address);
  if (path.length > MOST_PATH_BYTES || !/^[/@]./.test(address))
    throw new Error(
      `the socket is ${JSON.stringify(address)}, allowed: a path of up to ${MOST_PATH_BYTES - 1} bytes, or @name`,
    );
  // An abstract name begins with a zero and ends with its length.
  if (address.startsWith('@')) path[0] = 0;
  const family = Buffer.alloc(2);
  if (endianness() === 'LE') family.writeUInt16LE(AF_UNIX);
  else family.writeUInt16BE(AF_UNIX);
  return Buffer.concat([family, path]);
}

const PROGRAM = 'systemd-notify';

/**
 * The program `systemd-notify`, started for each message. It speaks for its parent where it may: as root. Else systemd hears a stranger,
 * and listens only with `NotifyAccess=all`.
 * @throws when there is none on the PATH.
 */
export function openProgramLine(address: string, env: NodeJS.ProcessEnv): NotifyLine {
  const file = findProgram(env.PATH ?? '');
  return {
    send: (message) =>
      new Promise((resolve, reject) => {
        const child = spawn(file, ['--', ...message.split('\n')], {
          env: { ...env, NOTIFY_SOCKET: address },
          stdio: ['ignore', 'ignore', 'pipe'],
        });
        let text = '';
        child.stderr.setEncoding('utf8').on('data', (part: string) => (text += part));
        child.on('error', reject);
        child.on('close', (code) => {
          if (code === 0) resolve();
          else reject(new Error(`${PROGRAM}: ${text.trim() || `exit code ${code}`}`));
        });
      }),
    close: () => {},
  };
}

function findProgram(path: string): string {
  for (const folder of path.split(delimiter)) {
    const file = join(folder, PROGRAM);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not there.
    }
  }
  throw new Error(`no program ${PROGRAM}`);
}
