import { spawnSync } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import { endianness } from 'node:os';
import { describe, expect, it } from 'vitest';
import { acceptQueueLength, findListener, hexAddress } from '../../http/accept-queue.js';

const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
const line = (local: string, state: string, queue: string, inode: number) =>
  `   0: ${local} 00000000:0000 ${state} 00000000:${queue} 00:00000000 00000000     0        0 ${inode} 1 0000 100 0 0 10 0`;

const LOCAL = { address: '127.0.0.1', family: 'IPv4', port: 8080 };
const TABLE = [
  HEAD,
  line('00000000:1F90', '0A', '00000001', 11),
  line('0100007F:1F91', '0A', '00000002', 12),
  line('0100007F:1F90', '01', '000000FF', 13),
  line('0100007F:1F90', '0A', '000000C8', 14),
  line('0100007F:1F90', '0A', '00000004', 15),
].join('\n');

describe.runIf(endianness() === 'LE')('the accept queue in the kernel’s table', () => {
  it('B11: is found by address, port and the listening state, and read as hexadecimal', () => {
    expect(findListener(TABLE, LOCAL)).toBe(200);
  });

  it('B11: is found by inode when several listeners share the port', () => {
    expect(findListener(TABLE, LOCAL, '15')).toBe(4);
  });

  it('is unknown for a listener that is not in the table', () => {
    expect(findListener(TABLE, { ...LOCAL, port: 9999 })).toBeUndefined();
    expect(findListener(TABLE, LOCAL, '99')).toBeUndefined();
    expect(findListener('', LOCAL)).toBeUndefined();
  });

  it.each([
    ['127.0.0.1', 'IPv4', 8080, '0100007F:1F90'],
    ['0.0.0.0', 'IPv4', 80, '00000000:0050'],
    ['::', 'IPv6', 65535, '00000000000000000000000000000000:FFFF'],
    ['::1', 'IPv6', 8080, '00000000000000000000000001000000:1F90'],
    ['fe80::1%eth0', 'IPv6', 1, '000080FE000000000000000001000000:0001'],
    ['::ffff:127.0.0.1', 'IPv6', 8080, '0000000000000000FFFF00000100007F:1F90'],
    ['2001:db8:1:2:3:4:5:6', 'IPv6', 8080, 'B80D0120020001000400030006000500:1F90'],
  ])('writes %s as the kernel does', (address, family, port, expected) => {
    expect(hexAddress({ address, family, port })).toBe(expected);
  });
});

// Not elsewhere: only Linux shows the queue.
describe.runIf(process.platform === 'linux')('acceptQueueLength', () => {
  it.each(['127.0.0.1', '::1'])(
    'B11: counts connections to %s that nobody has accepted: zero, then three',
    async (address) => {
      const server = createServer();
      await listenOn(server, 0, address);
      const before = acceptQueueLength(server);
      // Synchronous, so that this event loop cannot accept meanwhile.
      connectThree((server.address() as { port: number }).port, address);
      const after = acceptQueueLength(server);
      server.close();
      expect([before, after]).toEqual([0, 3]);
    },
  );

  it('is unknown for a server that does not listen and for a unix socket', async () => {
    const server = createServer();
    expect(acceptQueueLength(server)).toBeUndefined();
    await listenOn(server, `/tmp/shutdown-bus-${process.pid}.sock`);
    expect(acceptQueueLength(server)).toBeUndefined();
    server.close();
  });
});

function listenOn(server: Server, target: number | string, address?: string): Promise<void> {
  return new Promise((resolve) => {
    if (typeof target === 'string') server.listen(target, resolve);
    else server.listen(target, address, resolve);
  });
}

function connectThree(port: number, address: string): void {
  const script = `let n = 0;
    for (let i = 0; i < 3; i++) require('net').connect(${port}, '${address}', () => { if (++n === 3) process.exit(0); });`;
  expect(spawnSync(process.execPath, ['-e', script]).status).toBe(0);
}
