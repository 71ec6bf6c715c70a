import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';

/** What systemd's side has received, and from whom, as the kernel says. */
export interface Notice {
  readonly pid: number;
  readonly message: string;
}

/** Stands in for systemd: a unix datagram socket that is told the sender of each message. */
export interface Manager {
  readonly notices: readonly Notice[];
  /** Begins to read. */
  listen(): void;
  close(): void;
}

// Node has no unix datagrams. Descriptors that come along are closed: systemd-notify waits for that.
const PROGRAM = `
import json, os, socket, struct, sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
manager.bind(sys.argv[1].replace('@', '\\0', 1))
print('bound', flush=True)
sys.stdin.readline()
while True:
    data, parts, _, _ = manager.recvmsg(65536, 4096)
    for _, kind, content in parts:
        if kind == socket.SCM_CREDENTIALS:
            pid = struct.unpack('3i', content[:12])[0]
        else:
            for (fd,) in struct.iter_unpack('i', content): os.close(fd)
    print(json.dumps({'pid': pid, 'message': data.decode()}), flush=True)
`;

/** Why there is no such manager here, for the names of tests that are skipped; empty where there is. */
export const unmanaged =
  spawnSync('python3', ['-c', 'import socket; socket.SO_PASSCRED']).status === 0
    ? ''
    : ' (skipped: no python3, which stands in for systemd)';

/** @param address a path, or `@name`. */
export async function startManager(address: string): Promise<Manager> {
  const child = spawn('python3', ['-c', PROGRAM, address], { stdio: ['pipe', 'pipe', 'inherit'] });
  const notices: Notice[] = [];
  await new Promise<void>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line === 'bound') resolve();
      else notices.push(JSON.parse(line));
    });
  });
  return {
    notices,
    listen: () => void child.stdin.write('\n'),
    close: () => void child.kill('SIGKILL'),
  };
}
