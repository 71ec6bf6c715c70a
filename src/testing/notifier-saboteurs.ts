import { type Envelope, envelopeJson } from '../envelope.js';
import type { Notifier, Receipt } from '../notifier.js';

/** Turns a good notifier into one that breaks a single case; `secrets` are the harness's. */
export type NotifierSaboteur = (inner: Notifier, secrets: readonly string[]) => Notifier;

/**
 * For each case of the conformance suite, by id, a notifier that this case catches and every other one lets pass:
 * the proof that no case is idle.
 */
export const notifierSaboteurs: Readonly<Record<string, NotifierSaboteur>> = {
  // Loses what is not ASCII.
  N01: (inner) => around(inner, (batch, context) => inner.deliver(batch.map(asciiOnly), context)),
  // Sends once more, to be on the safe side.
  N02: (inner) =>
    around(inner, async (batch, context) => {
      const receipts = await inner.deliver(batch, context);
      if (!receipts.some(isFailure)) await inner.deliver(batch, context);
      return receipts;
    }),
  // Mixes the receipts up.
  N03: (inner) =>
    around(inner, async (batch, context) => {
      const receipts = await inner.deliver(batch, context);
      return receipts.map((receipt) => ({ ...receipt, id: `${receipt.id}?` })).reverse();
    }),
  // Declares one envelope more than it can take.
  N04: (inner) => {
    const most = inner.maxBatchSize ?? 1;
    const greedy = around(inner, async (batch, context) =>
      batch.length > most ? batch.map(refused) : inner.deliver(batch, context),
    );
    return { ...greedy, maxBatchSize: most + 1 };
  },
  // Declares twice the bytes it can take.
  N05: (inner) => {
    const most = (inner.maxBatchBytes ?? 65_536) / 2;
    const tooLarge = (envelope: Envelope) => Buffer.byteLength(envelopeJson(envelope)) > most;
    return around(inner, async (batch, context) =>
      batch.some(tooLarge) ? batch.map(refused) : inner.deliver(batch, context),
    );
  },
  // Can do one thing at a time.
  N06: (inner) => {
    let busy = false;
    return around(inner, async (batch, context) => {
      if (busy) return batch.map(refused);
      busy = true;
      return inner.deliver(batch, context).finally(() => {
        busy = false;
      });
    });
  },
  // Throws what went wrong.
  N07: (inner) =>
    around(inner, async (batch, context) => {
      const receipts = await inner.deliver(batch, context);
      const failure = receipts.find(isFailure);
      if (failure && !context.signal.aborted) throw failure.error;
      return receipts;
    }),
  // Tries again by itself.
  N08: (inner) =>
    around(inner, async (batch, context) => {
      const receipts = await inner.deliver(batch, context);
      return receipts.some(isFailure) && !context.signal.aborted ? inner.deliver(batch, context) : receipts;
    }),
  // Forgets the signal once the call is on its way.
  N09: (inner) =>
    around(inner, (batch, context) =>
      inner.deliver(
        batch,
        context.signal.aborted ? context : { ...context, signal: new AbortController().signal },
      ),
    ),
  // Has good news for whoever is in a hurry.
  N10: (inner) =>
    around(inner, async (batch, context) =>
      context.signal.aborted
        ? batch.map(({ id }) => ({ id, status: 'delivered' }) as const)
        : inner.deliver(batch, context),
    ),
  // Uses up the batch.
  N11: (inner) =>
    around(inner, async (batch, context) => {
      const receipts = await inner.deliver(batch, context);
      (batch as Envelope[]).length = 0;
      return receipts;
    }),
  // Leaves a timer behind.
  N12: (inner) =>
    around(inner, async (batch, context) => {
      setTimeout(() => {}, 500);
      return inner.deliver(batch, context);
    }),
  N13: (inner) => {
    const warmUp = onlyOnce('already warm', async () => inner.warmUp?.());
    return { ...around(inner, (batch, context) => inner.deliver(batch, context)), warmUp };
  },
  N14: (inner) => {
    const close = onlyOnce('already closed', async () => inner.close?.());
    return { ...around(inner, (batch, context) => inner.deliver(batch, context)), close };
  },
  N15: (inner) => ({ ...around(inner, (batch, context) => inner.deliver(batch, context)), name: '' }),
  // Explains a failure too well.
  N16: (inner, secrets) =>
    around(inner, async (batch, context) => {
      const receipts = await inner.deliver(batch, context);
      const cause = { headers: { authorization: secrets[0] } };
      return receipts.map((one) =>
        isFailure(one) ? { ...one, error: new Error(one.error.message, { cause }) } : one,
      );
    }),
};

function around(inner: Notifier, deliver: Notifier['deliver']): Notifier {
  const { name, maxBatchSize, maxBatchBytes, maxConcurrency } = inner;
  return {
    name,
    ...(maxBatchSize !== undefined && { maxBatchSize }),
    ...(maxBatchBytes !== undefined && { maxBatchBytes }),
    ...(maxConcurrency !== undefined && { maxConcurrency }),
    deliver,
    warmUp: async () => inner.warmUp?.(),
    close: async () => inner.close?.(),
  };
}

function isFailure(receipt: Receipt): receipt is Extract<Receipt, { error: Error }> {
  return receipt.status !== 'delivered';
}

function refused({ id }: Envelope): Receipt {
  return { id, status: 'rejected', error: new Error('refused by a saboteur') };
}

function asciiOnly(envelope: Envelope): Envelope {
  const text = envelopeJson(envelope);
  const ascii = text.replace(/[^\x20-\x7e]/g, '?');
  return ascii === text ? envelope : JSON.parse(ascii);
}

function onlyOnce(complaint: string, work: () => Promise<void>): () => Promise<void> {
  let done = false;
  return async () => {
    if (done) throw new Error(complaint);
    done = true;
    await work();
  };
}
