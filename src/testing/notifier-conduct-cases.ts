import assert from 'node:assert/strict';
import type { Envelope } from '../envelope.js';
import type { Notifier } from '../notifier.js';
import type { NotifierCase } from './notifier-conformance.js';
import {
  ANSWER_MS,
  batchSize,
  deliver,
  mustBeDelivered,
  mustHaveArrived,
  mustResolve,
  within,
} from './notifier-trial.js';
import { countTimersLeft } from './ref-timers.js';
import { sampleEnvelope } from './sample-envelopes.js';

/** An envelope without its payload must fit. */
const SMALLEST_BYTES = 1024;

/** What a notifier leaves behind, and how it comes and goes. */
export const conductCases: readonly NotifierCase[] = [
  {
    id: 'N11',
    title: 'the batch and its envelopes are left as they were',
    run: async ({ healthy, failing, arrived }) => {
      for (const make of [healthy, failing]) await make(mustLeaveAlone);
      await arrived(0);
    },
  },
  {
    id: 'N12',
    title: 'no timer is left running when a call has settled',
    run: async ({ healthy, failing, arrived }) => {
      for (const make of [healthy, failing]) {
        await make(async (notifier) => {
          const call = () => countTimersLeft(() => callOnly(notifier, [sampleEnvelope()]));
          const left = await within(ANSWER_MS, 'deliver', call);
          assert.equal(left, 0, `${left} timers keep the process alive after the call; clear or unref them`);
        });
      }
      await arrived(1);
    },
  },
  {
    id: 'N13',
    title: 'warmUp may be called twice, and a call works after it',
    run: ({ healthy, arrived }) =>
      healthy(async (notifier) => {
        await mustResolve('warmUp', () => notifier.warmUp?.());
        await mustResolve('a second warmUp', () => notifier.warmUp?.());
        const envelope = sampleEnvelope();
        mustBeDelivered(await deliver(notifier, [envelope]));
        mustHaveArrived([envelope], await arrived(1));
      }),
  },
  {
    id: 'N14',
    title: 'close may be called twice, after a call and without one',
    run: async ({ healthy, arrived }) => {
      for (const envelopes of [[], [sampleEnvelope()]]) {
        await healthy(async (notifier) => {
          if (envelopes.length > 0) mustBeDelivered(await deliver(notifier, envelopes));
          await mustResolve('close', () => notifier.close?.());
          await mustResolve('a second close', () => notifier.close?.());
        });
      }
      await arrived(1);
    },
  },
  {
    id: 'N15',
    title: 'it has a name, and limits that can be met',
    run: ({ healthy }) =>
      healthy(async (notifier) => {
        assert.ok(
          typeof notifier.name === 'string' && notifier.name !== '',
          'name is empty; logs and reports show it',
        );
        mustBeFrom('maxBatchSize', notifier.maxBatchSize, 1);
        mustBeFrom('maxBatchBytes', notifier.maxBatchBytes, SMALLEST_BYTES);
        mustBeFrom('maxConcurrency', notifier.maxConcurrency, 1);
      }),
  },
];

async function mustLeaveAlone(notifier: Notifier): Promise<void> {
  const originals = Array.from({ length: Math.min(2, batchSize(notifier)) }, () => sampleEnvelope());
  // Not frozen, unlike real ones: a change must show here instead of being stopped.
  const envelopes = originals.map((envelope) => structuredClone(envelope));
  const batch = [...envelopes];
  await within(ANSWER_MS, 'deliver', () => callOnly(notifier, batch));
  const same = batch.length === envelopes.length && batch.every((one, index) => one === envelopes[index]);
  assert.ok(
    same,
    'the call changed the array it was given; work on a copy, other notifiers get the same one',
  );
  assert.deepStrictEqual(
    envelopes,
    originals,
    'the call changed an envelope; real ones are frozen, copy them first',
  );
}

/** A call whose outcome is another case's business, without anything of the suite's own in it. */
async function callOnly(notifier: Notifier, batch: readonly Envelope[]): Promise<void> {
  const { signal } = new AbortController();
  await (async () => notifier.deliver(batch, { signal, attempt: 1 }))().catch(() => {});
}

function mustBeFrom(limit: string, value: number | undefined, least: number): void {
  const met = value === undefined || (Number.isSafeInteger(value) && value >= least);
  assert.ok(met, `${limit} is ${value}; make it a whole number from ${least} up, or leave it out`);
}
