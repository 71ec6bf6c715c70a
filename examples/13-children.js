// @ts-check
// Shows: child processes that end with the service: one saves its state first, one has to be killed at its limit.
// Try:   node examples/13-children.js; then Ctrl-C, or the kill line, or the same with -KILL: none is left behind.
import { setTimeout as sleep } from 'node:timers/promises';
import { subscribeShutdown } from 'shutdown-bus';
import { spawnChild } from 'shutdown-bus/children';

const SAVES = `
  process.on('SIGTERM', () => setTimeout(() => { console.log('saver: state saved'); process.exit(); }, 300));
  setInterval(() => {}, 1000);
  console.log('saver runs');`;
const IGNORES = `
  process.on('SIGTERM', () => console.log('mule: no'));
  setInterval(() => {}, 1000);
  console.log('mule runs');`;

const saver = spawnChild(process.execPath, ['-e', SAVES], { name: 'saver', stdio: 'inherit' });
const mule = spawnChild(process.execPath, ['-e', IGNORES], {
  name: 'mule',
  timeoutMs: 1000,
  stdio: 'inherit',
});

subscribeShutdown(
  async () => {
    console.log('saver:', await saver.ended);
    console.log('mule:', await mule.ended);
  },
  { name: 'say how they ended' },
);

await sleep(500);
console.log(`children: ${saver.pid} and ${mule.pid}; end this process with: kill -TERM ${process.pid}`);
