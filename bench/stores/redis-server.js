// @ts-check
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';

/**
 * A Redis on 127.0.0.1 that keeps nothing on disk.
 * @param {number} [port] a free one if it is not given
 * @returns {Promise<{ url: string, port: number, stop: () => Promise<void> }>}
 */
export async function startRedisServer(port) {
  port ??= await freePort();
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const child = spawn('redis-server', options, { stdio: ['ignore', 'pipe', 'inherit'] });
  const kill = () => void child.kill('SIGKILL');
  process.once('exit', kill);
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    process.removeListener('exit', kill);
    kill();
    await exited;
  };
  await new Promise((resolve, reject) => {
    child.once('error', () =>
      reject(new Error('redis-server is not on the PATH: apt-get install redis-server')),
    );
    child.once('exit', (code) => reject(new Error(`redis-server exited with ${code}`)));
    child.stdout.setEncoding('utf8').on('data', (text) => {
      if (text.includes('Ready to accept connections')) resolve(undefined);
    });
  });
  return { url: `redis://127.0.0.1:${port}`, port, stop };
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });
}
