import { closeSync, openSync, readlinkSync, readSync } from 'node:fs';
import type { AddressInfo, Server } from 'node:net';
import { endianness } from 'node:os';

/**
 * How many connections the kernel has completed for this listener and nobody has accepted yet.
 *
 * ```
 *   sl  local_address rem_address   st tx_queue rx_queue …    inode        /proc/net/tcp
 *    0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 …    40200
 *       127.0.0.1:8080        listening ┘            └ three are waiting
 * ```
 * @returns `undefined` where the kernel does not tell: not Linux, a unix socket, a server that does not listen.
 * @see https://docs.kernel.org/networking/proc_net_tcp.html
 */
export function acceptQueueLength(server: Server): number | undefined {
  if (process.platform !== 'linux') return undefined;
  const address = server.address();
  if (address === null || typeof address === 'string') return undefined;
  const table = address.family === 'IPv6' ? '/proc/net/tcp6' : '/proc/net/tcp';
  return findListener(readListeners(table), address, inodeOf(server));
}

/** The queue of one listener in the text of such a table: by its inode if known, else by its address and port. */
export function findListener(table: string, address: AddressInfo, inode?: string): number | undefined {
  const local = hexAddress(address);
  for (const line of table.split('\n').slice(1)) {
    const columns = line.trim().split(/\s+/);
    if (columns[3] !== LISTENING) continue;
    // Several processes may listen on one port (SO_REUSEPORT), each with a queue of its own.
    if (inode === undefined ? columns[1] !== local : columns[9] !== inode) continue;
    const queue = Number.parseInt(columns[4]?.split(':')[1] ?? '', 16);
    return Number.isNaN(queue) ? undefined : queue;
  }
  return undefined;
}

/** An address as the kernel writes it: each 32-bit word in the machine's own byte order, the port in the usual one. */
export function hexAddress({ address, family, port }: AddressInfo): string {
  const bytes = family === 'IPv6' ? ipv6Bytes(address) : address.split('.').map(Number);
  let text = '';
  for (let word = 0; word < bytes.length; word += 4) {
    const four = bytes.slice(word, word + 4);
    if (endianness() === 'LE') four.reverse();
    text += four.map((byte) => hex(byte, 2)).join('');
  }
  return `${text}:${hex(port, 4)}`;
}

const LISTENING = '0A';
const CHUNK_BYTES = 16_384;

/** The part of a table that holds the listeners: they come first, and a busy machine has megabytes after them. */
function readListeners(path: string): string {
  let table = '';
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const chunk = Buffer.alloc(CHUNK_BYTES);
    for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) {
      table += chunk.toString('latin1', 0, read);
      const lastWhole = table.slice(0, table.lastIndexOf('\n')).split('\n').at(-1) ?? '';
      const state = lastWhole.trim().split(/\s+/)[3];
      if (state !== LISTENING && state !== 'st') break;
    }
  } catch {
    // No /proc here: quiet turns have to do.
  } finally {
    if (file !== undefined) closeSync(file);
  }
  return table;
}

/** The listening socket's inode, where the handle tells its descriptor. */
function inodeOf(server: Server): string | undefined {
  const fd = (server as { _handle?: { fd?: number } | null })._handle?.fd;
  if (fd === undefined || fd < 0) return undefined;
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
  } catch {
    return undefined;
  }
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, '0');
}

function ipv6Bytes(address: string): number[] {
  const [head = '', tail] = (address.split('%')[0] as string).split('::');
  const front = groupsOf(head);
  const back = groupsOf(tail ?? '');
  const gap = new Array<number>(Math.max(0, 8 - front.length - back.length)).fill(0);
  return [...front, ...gap, ...back].flatMap((group) => [group >> 8, group & 0xff]);
}

/** 16-bit groups; a dotted IPv4 tail is two of them. */
function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((part) => {
    if (!part.includes('.')) return [Number.parseInt(part, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}
