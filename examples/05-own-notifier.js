// @ts-check
// Shows: a notifier of your own in ten lines: unfinished jobs go to a file, and the next start picks them up.
// Try:   node examples/05-own-notifier.js, Ctrl-C or the kill line it prints, then the same again.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { configureShutdown, envelopeJson, jobs } from 'shutdown-bus';

/**
 * One try a call, one receipt an envelope, in order. Batches, retries and the deadline are the bus's business.
 * @param {string} path
 * @returns {import('shutdown-bus').Notifier}
 */
function fileNotifier(path) {
  return {
    name: 'file',
    maxBatchSize: 100,
    async deliver(batch, { signal }) {
      const lines = batch.map((envelope) => `${envelopeJson(envelope)}\n`).join('');
      try {
        await writeFile(path, lines, { flag: 'a', flush: true, signal });
        return batch.map(({ id }) => ({ id, status: 'delivered' }));
      } catch (error) {
        // Worth another try. What is hopeless would be 'rejected'.
        return batch.map(({ id }) => ({ id, status: 'retryable', error: /** @type {Error} */ (error) }));
      }
    },
  };
}

const path = join(tmpdir(), 'shutdown-bus-unfinished.jsonl');
configureShutdown({ notifiers: [fileNotifier(path)] });

/** @param {{ folder: string, from: number }} payload */
function copy(payload) {
  return jobs.run({ type: 'copy', payload }, async (job) => {
    for (let file = payload.from; file <= 36_000; file++) {
      job.checkpoint({ file });
      await sleep(100, undefined, { signal: job.signal });
    }
  });
}

// What the last run left behind, each from where it was; or, at the first start, two new jobs.
const text = await readFile(path, 'utf8').catch(() => '');
const left = text
  .split('\n')
  .filter(Boolean)
  .map((line) => JSON.parse(line).data);
for (const { payload, progress } of left)
  console.log(`going on with ${payload.folder} at file ${progress.file}`);
const work = left.length
  ? left.map(({ payload, progress }) => copy({ folder: payload.folder, from: progress.file }))
  : [copy({ folder: 'letters', from: 1 }), copy({ folder: 'photographs', from: 1 })];
// They are this process's jobs now: whatever happens, it reports them again.
await rm(path, { force: true });

console.log(`unfinished jobs go to ${path}; end this process with: kill -TERM ${process.pid}`);
await Promise.allSettled(work);
