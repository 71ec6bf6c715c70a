// @ts-check
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below what systems give to outgoing connections: one of these must not take the port of a service that is down for a moment. */
const LOWEST = 16_000;
const HIGHEST = 32_000;

/** Ports of 127.0.0.1 that nobody listens on. @param {number} count */
export async function freePorts(count) {
  /** @type {Set<number>} */
  const ports = new Set();
  while (ports.size < count) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

/** @param {number} port */
async function isFree(port) {
  const server = createServer();
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening');
  } catch {
    return false;
  }
  await once(server.close(), 'close');
  return true;
}
