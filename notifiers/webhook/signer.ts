import { createHash, createHmac } from 'node:crypto';
import type { Envelope } from '../../src/envelope.js';
import { checkedSecret } from './options.js';

type Sign = (id: string, at: Date, text: string) => string;

/**
 * Makes the Standard Webhooks headers of a batch; without a secret, all but the signature.
 * @throws ShutdownError `INVALID_OPTION` for a secret that is not base64
 */
export function createSigner(
  secret: string | undefined,
): (batch: readonly Envelope[], text: string) => Record<string, string> {
  const sign = secret === undefined ? undefined : createSign(secret);
  return (batch, text) => {
    const id = messageId(batch);
    const now = new Date();
    return {
      'webhook-id': id,
      'webhook-timestamp': secondsOf(now),
      ...(sign && { 'webhook-signature': sign(id, now, text) }),
    };
  };
}

/**
 * The package is the authority on keys and signatures, but it hashes in JavaScript: a hundred thousand envelopes cost it
 * a second in which nothing else runs. Node's own HMAC does the bulk, as long as it signs a probe the same way.
 */
function createSign(secret: string): Sign {
  const webhook = checkedSecret(secret);
  const key = Buffer.from(secret.trim().replace(/^whsec_/, ''), 'base64');
  const native: Sign = (id, at, text) => {
    const hmac = createHmac('sha256', key)
      .update(`${id}.${secondsOf(at)}.`)
      .update(text);
    return `v1,${hmac.digest('base64')}`;
  };
  const probe = ['msg_probe', new Date(0), '{"probe":"ü"}'] as const;
  return webhook.sign(...probe) === native(...probe) ? native : (id, at, text) => webhook.sign(id, at, text);
}

function secondsOf(at: Date): string {
  return String(Math.floor(at.getTime() / 1000));
}

/** An id fit for a header; without full stops, which separate the parts of the signed text. */
function messageId(batch: readonly Envelope[]): string {
  const ids = batch.map(({ id }) => id);
  if (ids.length === 1 && /^[\w/:@+=-]{1,200}$/.test(ids[0] as string)) return ids[0] as string;
  return `msg_${createHash('sha256').update(JSON.stringify(ids)).digest('hex')}`;
}
