// @ts-check
// The process that lives: starts on the same store and reports what it finds there, until SIGTERM. On its pipe it tells
//
//   r <instance>   its bus is there
//   l              it has looked, and found nothing more to report
import { defaultBus } from 'shutdown-bus';
import { tell } from './tell.js';

const bus = defaultBus();
const { store } = bus.config;
if (store !== undefined) {
  const claimOrphans = store.claimOrphans.bind(store);
  store.claimOrphans = async () => {
    const orphans = await claimOrphans();
    if (orphans.length === 0) tell('l');
    return orphans;
  };
}
setInterval(() => {}, 60_000);
tell(`r ${bus.instanceId}`);
