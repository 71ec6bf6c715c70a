// @ts-check
// Shows: Express on a drained server, with the probes as routes of its own, and an error handler that leaves requests alone
//        whose job the shutdown has interrupted.
// Try:   node examples/07-express.js; run the curl line it prints elsewhere if you like; then Ctrl-C or the kill line.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { Interrupt, jobs } from 'shutdown-bus';
import { drainServer, livenessProbe, readinessProbe } from 'shutdown-bus/http';

const app = express();
app.get('/ready', readinessProbe());
app.get('/live', livenessProbe());

app.use(express.json());
app.post('/invoices', async (request, response) => {
  const { count } = /** @type {{ count: number }} */ (request.body);
  // A job that is begun in a request belongs to it, also after its body was parsed.
  await jobs.run({ type: 'invoices', payload: { count } }, async (job) => {
    for (let number = 1; number <= count; number++) {
      job.signal.throwIfAborted();
      await sleep(100); // one invoice
      job.checkpoint({ number });
    }
  });
  response.json({ count });
});

app.use(
  /** @type {import('express').ErrorRequestHandler} */ (error, _request, _response, next) => {
    // drainServer answers, when the job was reported.
    if (!Interrupt.isCauseOf(error)) next(error);
  },
);

const server = app.listen(0, '127.0.0.1');
drainServer(server, {
  answer: (_request, [job]) => ({ status: 202, body: `${job?.type}: the rest follows` }),
});
await once(server, 'listening');
const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());

// Two clients, so that there is something to see without a second terminal.
const post = { method: 'POST', headers: { 'content-type': 'application/json' } };
for (const count of [5, 36_000]) {
  fetch(`http://127.0.0.1:${port}/invoices`, { ...post, body: JSON.stringify({ count }) }).then(
    async (response) => console.log(`${count} invoices: ${response.status} ${await response.text()}`),
    (error) => console.log(`${count} invoices: ${error.cause?.code ?? error.message}`),
  );
}
while (jobs.size < 2) await sleep(5);

console.log(`two requests are open; is it ready? curl -i http://127.0.0.1:${port}/ready`);
console.log(`end this process with: kill -TERM ${process.pid}`);
