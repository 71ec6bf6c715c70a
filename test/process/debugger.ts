import { once } from 'node:events';
import { expect } from 'vitest';
import { WebSocket } from 'ws';

/** A debugger by its protocol, attached to the process that listens there. */
export async function connectDebugger(url: string) {
  const socket = new WebSocket(url);
  const messages: { id?: number; method?: string }[] = [];
  socket.on('message', (data) => messages.push(JSON.parse(String(data))));
  await once(socket, 'open');
  let last = 0;
  const found = (is: (message: { id?: number; method?: string }) => boolean) =>
    expect.poll(() => messages.some(is)).toBe(true);
  return {
    call: (method: string, params = {}) => {
      last += 1;
      const id = last;
      socket.send(JSON.stringify({ id, method, params }));
      return found((message) => message.id === id);
    },
    event: (method: string) => found((message) => message.method === method),
    count: (method: string) => messages.filter((message) => message.method === method).length,
    close: () => socket.close(),
  };
}
