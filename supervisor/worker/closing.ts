import { closeWith } from '../../http/companions.js';
import { sleep, systemClock } from '../../src/clock.js';
import { unrefChannel } from '../../src/triggers/ipc.js';
import { read } from '../messages.js';
import { tell } from './tell.js';

/** So long nobody is waited for who may be blocked. */
const MOST_MS = 300;

/**
 * Has the servers of this worker wait for those of the others, in a stop of all of them.
 * @param hasClosed whether every server of this worker has.
 */
export function closeTogether(hasClosed: () => boolean): void {
  const all = new AbortController();
  process.on('message', (message) => {
    if (read('all-closed', message)) all.abort();
  });
  unrefChannel(process.channel);
  let isTold = false;
  closeWith(async () => {
    if (!process.connected) return;
    if (!isTold && hasClosed()) {
      isTold = true;
      tell({ type: 'closed' });
    }
    await sleep(systemClock, MOST_MS, all.signal);
  });
}
