// @ts-check
// Shows: unfinished jobs posted to a web address, signed, and a receiver that checks the signature.
//        A real service needs no code for this: SHUTDOWN_WEBHOOK_URL and SHUTDOWN_WEBHOOK_SECRET are enough.
// Try:   node examples/02-webhook.js, then Ctrl-C or the kill line it prints.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { configureShutdown, Interrupt, jobs } from 'shutdown-bus';
import { webhookNotifier } from 'shutdown-bus/notifiers/webhook';
import { Webhook } from 'standardwebhooks';

const secret = `whsec_${randomBytes(32).toString('base64')}`;

// The receiver. It would be somewhere else; here it is in the same process, to keep the example in one file.
const receiver = createServer(async (request, response) => {
  const headers = /** @type {Record<string, string>} */ (request.headers);
  try {
    const events = /** @type {any[]} */ (new Webhook(secret).verify(await text(request), headers));
    for (const { data } of events)
      console.log(`receiver: ${data.jobType} ${JSON.stringify(data.payload)} stopped at`, data.progress);
    response.writeHead(204).end();
  } catch {
    response.writeHead(401).end();
  }
});
receiver.listen(0, '127.0.0.1');
await once(receiver, 'listening');
const { port } = /** @type {import('node:net').AddressInfo} */ (receiver.address());

// The service. Configure before the first job or subscription.
configureShutdown({
  service: 'billing',
  notifiers: [webhookNotifier({ url: `http://127.0.0.1:${port}/unfinished`, secret })],
});

/** @param {string} month */
function billAll(month) {
  return jobs.run({ type: 'billing-run', payload: { month } }, async (job) => {
    try {
      for (let invoice = 1; invoice <= 50_000; invoice++) {
        job.signal.throwIfAborted();
        await sleep(20);
        job.checkpoint({ invoice });
      }
    } catch (error) {
      // A GracefulExit after SIGTERM, a plain Interrupt after Ctrl-C: the moment to leave things tidy.
      if (error instanceof Interrupt) console.log(`service: ${error.name}: ${error.message} Rolling back.`);
      throw error; // This is what makes the job incomplete.
    }
  });
}

console.log(`receiver on port ${port}; end this process with: kill -TERM ${process.pid}`);
await billAll('2025-11').catch((error) => console.log(`service: the run ended early, ${error.message}`));
