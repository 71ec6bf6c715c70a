import { randomBytes } from 'node:crypto';
import { type Envelope, envelopeJson } from '../envelope.js';

/** A frozen envelope as a shutdown would write it, with an id that was never used before. */
export function sampleEnvelope(
  payload: unknown = { frames: 3 },
  jobId = randomBytes(8).toString('hex'),
): Envelope {
  const instanceId = randomBytes(6).toString('hex');
  return deepFreeze({
    specversion: '1.0',
    id: `${instanceId}/${jobId}`,
    source: `/conformance/${instanceId}`,
    type: 'shutdown-bus.job.incomplete',
    subject: jobId,
    time: '2026-01-02T03:04:05.678Z',
    datacontenttype: 'application/json',
    data: {
      jobType: 'render',
      payload,
      progress: null,
      startedAt: '2026-01-02T03:04:04.000Z',
      elapsedMs: 1678,
      outcome: 'interrupted',
      reason: 'SIGTERM',
      service: 'conformance',
      instanceId,
      host: 'localhost',
      pid: 1,
    },
  });
}

/** Envelopes with everything in them that JSON may carry and a careless wire format may not. */
export function hostileEnvelopes(): readonly Envelope[] {
  const payloads: readonly unknown[] = [
    'quotes " and \\ backslashes, 100 % {{braces}} $dollars <b>&amp;</b>',
    'line\nfeed, carriage\r\nreturn, tab\t, null \u0000, bell \u0007, escape \u001b[31m',
    'separators \u2028 and \u2029, a byte order mark \ufeff, latin é ü ß, 日本語, emoji 👩‍🚀, half of one \ud83d',
    ['', 0, 1e308, -1.5, true, null, [], {}, [[[[[[[[['deep']]]]]]]]]],
    JSON.parse('{"__proto__":{"polluted":true},"constructor":1,"toJSON":"no function","":"empty key"}'),
  ];
  const jobIds = ['spaces and / slashes', 'ünï=cödé;"\'', 'line\nfeed', 'dots.and,commas', 'x'.repeat(300)];
  return payloads.map((payload, index) =>
    sampleEnvelope(payload, `${jobIds[index]} ${randomBytes(4).toString('hex')}`),
  );
}

/** An envelope whose JSON text is exactly `bytes` long, if its frame leaves room for that. */
export function envelopeOfSize(bytes: number): Envelope {
  const jobId = randomBytes(8).toString('hex');
  const frame = Buffer.byteLength(envelopeJson(sampleEnvelope('', jobId)));
  return sampleEnvelope('x'.repeat(Math.max(0, bytes - frame)), jobId);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child);
    Object.freeze(value);
  }
  return value;
}
