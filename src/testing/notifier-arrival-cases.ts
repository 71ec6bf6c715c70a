import assert from 'node:assert/strict';
import { envelopeJson } from '../envelope.js';
import type { NotifierCase } from './notifier-conformance.js';
import { batchSize, deliver, fullBatch, mustBeDelivered, mustHaveArrived } from './notifier-trial.js';
import { envelopeOfSize, hostileEnvelopes, sampleEnvelope } from './sample-envelopes.js';

/** For a notifier without a limit of its own. */
const LARGE_BYTES = 65_536;
const LARGEST_BYTES = 16_777_216;

/** What a far end that works gets to see. */
export const arrivalCases: readonly NotifierCase[] = [
  {
    id: 'N01',
    title: 'an envelope arrives unchanged, whatever characters are in it',
    run: ({ healthy, arrived }) =>
      healthy(async (notifier) => {
        const envelopes = hostileEnvelopes();
        for (const envelope of envelopes) mustBeDelivered(await deliver(notifier, [envelope]));
        const byId = await arrived(envelopes.length);
        for (const envelope of envelopes) {
          const [copy] = byId.get(envelope.id) ?? [];
          assert.ok(
            copy,
            `${envelopeJson(envelope)} was said to be delivered and did not arrive under its id`,
          );
          const sent: unknown = JSON.parse(envelopeJson(envelope));
          assert.deepStrictEqual(
            copy,
            sent,
            'the envelope changed on its way; send envelopeJson(envelope) in UTF-8',
          );
        }
      }),
  },
  {
    id: 'N02',
    title: 'an envelope arrives once a call',
    run: ({ healthy, arrived }) =>
      healthy(async (notifier) => {
        const envelopes = [sampleEnvelope(), sampleEnvelope(), sampleEnvelope()];
        for (const envelope of envelopes) mustBeDelivered(await deliver(notifier, [envelope]));
        const byId = await arrived(envelopes.length);
        for (const { id } of envelopes) {
          const times = byId.get(id)?.length ?? 0;
          assert.equal(times, 1, `one call with one envelope made it arrive ${times} times; send it once`);
        }
      }),
  },
  {
    id: 'N03',
    title: 'there is one receipt an envelope, in order, under its id',
    run: ({ healthy, arrived }) =>
      healthy(async (notifier) => {
        const envelopes = Array.from({ length: Math.min(3, batchSize(notifier)) }, () => sampleEnvelope());
        const { receipts = [] } = await deliver(notifier, envelopes);
        const ids = envelopes.map(({ id }) => id);
        const cure =
          'return one receipt for each envelope of the batch, in its order, under the id of the envelope';
        assert.deepStrictEqual(
          [...receipts].map((receipt) => receipt?.id),
          ids,
          cure,
        );
        await arrived(receipts.filter(({ status }) => status === 'delivered').length);
      }),
  },
  {
    id: 'N04',
    title: 'a batch of maxBatchSize envelopes is taken whole',
    run: ({ healthy, arrived }) =>
      healthy(async (notifier) => {
        const envelopes = fullBatch(notifier);
        mustBeDelivered(
          await deliver(notifier, envelopes),
          `take ${envelopes.length} or declare a smaller maxBatchSize`,
        );
        mustHaveArrived(envelopes, await arrived(envelopes.length));
      }),
  },
  {
    id: 'N05',
    title: 'an envelope of maxBatchBytes is taken',
    run: ({ healthy, arrived }) =>
      healthy(async (notifier) => {
        const bytes = Math.min(notifier.maxBatchBytes ?? LARGE_BYTES, LARGEST_BYTES);
        const envelope = envelopeOfSize(bytes);
        const cure = `take ${bytes} bytes or declare a smaller maxBatchBytes: what is put around them counts too`;
        mustBeDelivered(await deliver(notifier, [envelope]), cure);
        mustHaveArrived([envelope], await arrived(1));
      }),
  },
  {
    id: 'N06',
    title: 'two calls at the same time do not get in each other’s way',
    run: ({ healthy, arrived }) =>
      healthy(async (notifier) => {
        const envelopes = [sampleEnvelope(), sampleEnvelope()];
        const answers = await Promise.all(envelopes.map((envelope) => deliver(notifier, [envelope])));
        for (const answer of answers) mustBeDelivered(answer, 'keep what belongs to a call inside of it');
        mustHaveArrived(envelopes, await arrived(2));
      }),
  },
];
