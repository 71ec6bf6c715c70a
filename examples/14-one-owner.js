// @ts-check
// Shows: several processes of a service, of which one at a time polls; when that one ends, however it ends, another one goes on.
// Try:   node examples/14-one-owner.js in two or three terminals, then the kill line of the one that polls, or the same with -KILL.
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { configureShutdown } from 'shutdown-bus';
import { becomeOwner } from 'shutdown-bus/children';
import { lmdbStore } from 'shutdown-bus/stores/lmdb';

// Who is the owner is decided in the store: processes that share one share the name.
configureShutdown({
  service: 'prices',
  store: lmdbStore({ path: join(tmpdir(), 'shutdown-bus-example-owner') }),
});
console.log(`waits for its turn; end this process with: kill -TERM ${process.pid}`);

// What polls is the process itself: nothing outlives an owner that is killed, so nobody needs to wait for it.
const ownership = await becomeOwner('poller', { graceMs: 0 });

if (ownership !== undefined) {
  let price = 100;
  const timer = setInterval(() => {
    price += Math.round(Math.random() * 4) - 2;
    console.log(`process ${process.pid} polls: ${price}`);
  }, 500);
  // Given up by the shutdown, or lost.
  ownership.signal.addEventListener('abort', () => {
    clearInterval(timer);
    console.log(`process ${process.pid} polls no more`);
  });
}
