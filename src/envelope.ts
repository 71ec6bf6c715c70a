import { hostname } from 'node:os';
import type { StoredJob } from './store.js';

/** What became of a job: cut off by the shutdown, by its own time limit, or by the death of its process. */
export type JobOutcome = 'interrupted' | 'timed-out' | 'lost';

/** The `data` of an {@link Envelope}. */
export interface EnvelopeData {
  readonly jobType: string;
  /** As given to `begin`, made safe for JSON and redacted; `null` when `truncated`. */
  readonly payload: unknown;
  /** The last checkpoint, `null` before the first. */
  readonly progress: unknown;
  /** RFC 3339. */
  readonly startedAt: string;
  /** Milliseconds from the job's begin to this envelope. */
  readonly elapsedMs: number;
  readonly outcome: JobOutcome;
  /** The reason in one word: `SIGTERM`, `uncaughtException`, `memory`, `request`, `idle`, `timeout`, `lost`. */
  readonly reason: string;
  readonly service: string;
  /** 12 hex digits. */
  readonly instanceId: string;
  readonly host: string;
  readonly pid: number;
  /** The payload was larger than the far end takes and was left out. */
  readonly truncated?: true;
  /** Bytes of JSON that were left out. */
  readonly payloadBytes?: number;
}

/**
 * One unfinished job, as a CloudEvents 1.0 event in JSON. Frozen.
 * `id` is the same on every attempt and from every survivor: whoever receives it twice can tell.
 * @see https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
 */
export interface Envelope {
  readonly specversion: '1.0';
  /** `<instanceId>/<jobId>` */
  readonly id: string;
  /** `/<service>/<instanceId>` */
  readonly source: string;
  readonly type: 'shutdown-bus.job.incomplete';
  /** The job's id. */
  readonly subject: string;
  /** RFC 3339: when this envelope was written. */
  readonly time: string;
  readonly datacontenttype: 'application/json';
  readonly data: EnvelopeData;
}

/** What all envelopes of one process have in common. */
export interface EnvelopeOrigin {
  readonly service: string;
  readonly instanceId: string;
  /** Turns payload and progress into JSON text; see `createSerialiser`. */
  readonly serialise: (value: unknown) => string;
}

/** What happened to the job that an envelope is about. */
export interface EnvelopeFacts {
  readonly outcome: JobOutcome;
  readonly reason: string;
  readonly elapsedMs: number;
  readonly time: string;
}

// The text is made once: sizing, batching and every attempt of every notifier use it.
const jsonTexts = new WeakMap<Envelope, string>();
const host = hostname();

/** The envelope's JSON text, made once and remembered; any plain object of the same shape will do. */
export function envelopeJson(envelope: Envelope): string {
  return jsonTexts.get(envelope) ?? JSON.stringify(envelope);
}

/**
 * Writes the envelope of one job. The payload is taken as it is at this moment: what the job does to it later no
 * longer shows. Never throws, whatever the payload is.
 */
export function createEnvelope(job: StoredJob, origin: EnvelopeOrigin, facts: EnvelopeFacts): Envelope {
  const { service, instanceId } = origin;
  const payloadJson = origin.serialise(job.payload);
  const progressJson = job.progress === undefined ? 'null' : origin.serialise(job.progress);
  // Parsed on first sight: most notifiers only ever send the text.
  const payload = lazyJson(payloadJson);
  const progress = lazyJson(progressJson);
  const data: EnvelopeData = Object.freeze({
    jobType: job.type,
    get payload() {
      return payload();
    },
    get progress() {
      return progress();
    },
    startedAt: job.startedAt,
    elapsedMs: facts.elapsedMs,
    outcome: facts.outcome,
    reason: facts.reason,
    service,
    instanceId,
    host,
    pid: process.pid,
  });
  const envelope: Envelope = Object.freeze({
    specversion: '1.0',
    id: `${instanceId}/${job.id}`,
    source: `/${encodeURIComponent(service)}/${instanceId}`,
    type: 'shutdown-bus.job.incomplete',
    subject: job.id,
    time: facts.time,
    datacontenttype: 'application/json',
    data,
  });
  jsonTexts.set(envelope, textOf(envelope, payloadJson, progressJson));
  return envelope;
}

/** The same envelope without its payload, for a far end that takes less than its size. */
export function truncateEnvelope(envelope: Envelope): Envelope {
  const payloadBytes = Buffer.byteLength(JSON.stringify(envelope.data.payload) ?? 'null');
  const data = Object.freeze({ ...envelope.data, payload: null, payloadBytes, truncated: true as const });
  return Object.freeze({ ...envelope, data });
}

function textOf(envelope: Envelope, payloadJson: string, progressJson: string): string {
  const { data } = envelope;
  return (
    `{"specversion":"1.0","id":${JSON.stringify(envelope.id)},"source":${JSON.stringify(envelope.source)}` +
    `,"type":"${envelope.type}","subject":${JSON.stringify(envelope.subject)},"time":"${envelope.time}"` +
    `,"datacontenttype":"application/json","data":{"jobType":${JSON.stringify(data.jobType)}` +
    `,"payload":${payloadJson},"progress":${progressJson},"startedAt":"${data.startedAt}"` +
    `,"elapsedMs":${data.elapsedMs},"outcome":"${data.outcome}","reason":${JSON.stringify(data.reason)}` +
    `,"service":${JSON.stringify(data.service)},"instanceId":"${data.instanceId}"` +
    `,"host":${JSON.stringify(host)},"pid":${data.pid}}}`
  );
}

function lazyJson(text: string): () => unknown {
  let value: unknown;
  let parsed = false;
  return () => {
    if (!parsed) {
      value = deepFreeze(JSON.parse(text));
      parsed = true;
    }
    return value;
  };
}

function deepFreeze(value: unknown): unknown {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child);
    Object.freeze(value);
  }
  return value;
}
