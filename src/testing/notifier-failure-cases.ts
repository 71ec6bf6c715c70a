import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import type { NotifierCase } from './notifier-conformance.js';
import { ABORT_MS, deliver, mustBeRetryable, mustHaveFailed } from './notifier-trial.js';
import { sampleEnvelope } from './sample-envelopes.js';

/** So long the far end has to get hold of a call before the call is aborted. */
const UNDER_WAY_MS = 50;

/** What comes back from a far end that fails or hangs. */
export const failureCases: readonly NotifierCase[] = [
  {
    id: 'N07',
    title: 'a failure of the far end is a receipt with an error, not a throw',
    run: ({ failing }) =>
      failing(async (notifier) => mustHaveFailed(await deliver(notifier, [sampleEnvelope()]))),
  },
  {
    id: 'N08',
    title: 'a call is one try, without retries of its own',
    needs: 'failedCalls',
    run: ({ failing, failedCalls }) =>
      failing(async (notifier) => {
        const before = failedCalls();
        await deliver(notifier, [sampleEnvelope()]);
        const tries = failedCalls() - before;
        assert.equal(
          tries,
          1,
          `one call reached the far end ${tries} times; switch the client’s own retries off`,
        );
      }),
  },
  {
    id: 'N09',
    title: 'a call under way is given up soon after its signal aborts',
    run: ({ hanging }) =>
      hanging(async (notifier) => {
        const abort = new AbortController();
        const call = deliver(notifier, [sampleEnvelope()], abort.signal, UNDER_WAY_MS + ABORT_MS);
        await sleep(UNDER_WAY_MS);
        abort.abort();
        mustBeRetryable(await call, 'hand the signal to the client, or race the call against it');
      }),
  },
  {
    id: 'N10',
    title: 'a signal that has already aborted is honoured, and nothing is claimed to be delivered',
    run: async ({ healthy, hanging, arrived }) => {
      for (const make of [healthy, hanging]) {
        await make(async (notifier) => {
          const answer = await deliver(notifier, [sampleEnvelope()], AbortSignal.abort(), ABORT_MS);
          mustBeRetryable(answer, 'look at signal.aborted before anything else');
        });
      }
      await arrived(0);
    },
  },
  {
    id: 'N16',
    title: 'no error shows a secret',
    needs: 'secrets',
    run: async ({ failing, hanging, secrets }) => {
      for (const make of [failing, hanging]) {
        await make(async (notifier) => {
          const signal = AbortSignal.timeout(UNDER_WAY_MS);
          const answer = await deliver(notifier, [sampleEnvelope()], signal, UNDER_WAY_MS + ABORT_MS);
          const text = inspect(answer, {
            depth: 12,
            showHidden: true,
            maxStringLength: null,
            maxArrayLength: null,
          });
          const cure =
            'an error shows a secret in its message, stack, cause or a property of them; write your own error';
          assert.ok(!secrets.some((secret) => text.includes(secret)), cure);
        });
      }
    },
  },
];
