import { type FromWorker, write } from '../messages.js';

/** Tells the primary; whoever is not there any more need not know. */
export function tell(message: FromWorker): void {
  if (process.connected) process.send?.(write(message), undefined, {}, () => {});
}
