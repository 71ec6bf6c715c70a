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
  /** What a survivor knows of the death, or why the payload is missing. */
  readonly detail?: string;
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
  /** @default this machine's name */
  readonly host?: string;
  /** @default this process's number */
  readonly pid?: number;
}

/** What an envelope tells of its job. */
export interface EnvelopeJob {
  readonly id: string;
  /** Unique among all jobs its instance ever reported; its envelope is `<instanceId>/<key>`. The id, unless that was used before. */
  readonly key: string;
  readonly type: string;
  readonly payload: unknown;
  /** `undefined` before the first checkpoint. */
  readonly progress?: unknown;
  /** RFC 3339. */
  readonly startedAt: string;
}

/** What happened to the job that an envelope is about. */
export interface EnvelopeFacts {
  readonly outcome: JobOutcome;
  readonly reason: string;
  readonly elapsedMs: number;
  /** RFC 3339. */
  readonly time: string;
  readonly detail?: string;
}

/** How an envelope's id is made. */
export function envelopeIdOf(instanceId: string, key: string): string {
  return `${instanceId}/${key}`;
}

/** The two parts of an envelope's id; a key may have slashes of its own. */
export function partsOf(envelopeId: string): readonly [instanceId: string, key: string] {
  const at = envelopeId.indexOf('/');
  return [envelopeId.slice(0, at), envelopeId.slice(at + 1)];
}

const TYPE = 'shutdown-bus.job.incomplete';

/**
 * Writes envelopes. The payload is taken as it is at that moment: what the job does to it later no longer shows.
 * Never throws, whatever the payload is.
 */
export class EnvelopeWriter {
  readonly #origin: EnvelopeOrigin;
  readonly #source: string;
  // A shutdown may write a hundred thousand of them: all that is the same in each is put together once.
  readonly #head: string;
  readonly #middle: string;
  readonly #tail: string;

  constructor(origin: EnvelopeOrigin) {
    const { service, instanceId, pid = process.pid } = origin;
    const host = origin.host ?? process.getBuiltinModule('node:os').hostname();
    this.#origin = origin;
    this.#source = `/${encodeURIComponent(service)}/${instanceId}`;
    this.#head = `{"specversion":"1.0","id":"${instanceId}/`;
    this.#middle = `","source":"${this.#source}","type":"${TYPE}","subject":"`;
    this.#tail =
      `,"service":${JSON.stringify(service)},"instanceId":"${instanceId}"` +
      `,"host":${JSON.stringify(host)},"pid":${pid}`;
  }

  /** The envelope of one job. */
  write(job: EnvelopeJob, facts: EnvelopeFacts): Envelope {
    return new JobEnvelope(
      envelopeIdOf(this.#origin.instanceId, job.key),
      this.#source,
      job.id,
      facts.time,
      this.text(job, facts),
    );
  }

  /** The same as JSON text, without the object. */
  text(job: EnvelopeJob, { outcome, reason, elapsedMs, time, detail }: EnvelopeFacts): string {
    const { serialise } = this.#origin;
    const id = JSON.stringify(job.id).slice(1, -1);
    const key = job.key === job.id ? id : JSON.stringify(job.key).slice(1, -1);
    const progress = job.progress === undefined ? 'null' : serialise(job.progress);
    return (
      `${this.#head}${key}${this.#middle}${id}","time":"${time}","datacontenttype":"application/json"` +
      `,"data":{"jobType":${JSON.stringify(job.type)},"payload":${serialise(job.payload)},"progress":${progress}` +
      `,"startedAt":"${job.startedAt}","elapsedMs":${elapsedMs},"outcome":"${outcome}","reason":"${reason}"${this.#tail}` +
      (detail === undefined ? '}}' : `,"detail":${JSON.stringify(detail)}}}`)
    );
  }
}

/** An envelope that knows its text and reads its data from there only when asked to. */
class JobEnvelope implements Envelope {
  readonly specversion = '1.0';
  readonly id: string;
  readonly source: string;
  readonly type = TYPE;
  readonly subject: string;
  readonly time: string;
  readonly datacontenttype = 'application/json';
  readonly #text: string;
  #bytes: number | undefined;

  constructor(id: string, source: string, subject: string, time: string, text: string) {
    this.id = id;
    this.source = source;
    this.subject = subject;
    this.time = time;
    this.#text = text;
    Object.freeze(this);
  }

  get data(): EnvelopeData {
    return completeEnvelope(this).data;
  }

  toJSON(): Envelope {
    return JSON.parse(this.#text) as Envelope;
  }

  static bytesOf(envelope: Envelope): number | undefined {
    if (!(#text in envelope)) return undefined;
    envelope.#bytes ??= Buffer.byteLength(envelope.#text);
    return envelope.#bytes;
  }

  static textOf(envelope: Envelope): string | undefined {
    return #text in envelope ? envelope.#text : undefined;
  }
}

/** The envelope that the text of an {@link EnvelopeWriter} holds; its payload is not read. */
export function readEnvelope(text: string): Envelope {
  // Inside of a string these quotes would be escaped.
  const head = `${text.slice(0, text.indexOf(',"datacontenttype":'))}}`;
  const { id, source, subject, time } = JSON.parse(head) as Envelope;
  return new JobEnvelope(id, source, subject, time, text);
}

/** The envelope's JSON text; any plain object of the same shape will do. */
export function envelopeJson(envelope: Envelope): string {
  return JobEnvelope.textOf(envelope) ?? JSON.stringify(envelope);
}

/** The size of that text as UTF-8, counted once. */
export function envelopeBytes(envelope: Envelope): number {
  return JobEnvelope.bytesOf(envelope) ?? Buffer.byteLength(JSON.stringify(envelope));
}

/** The envelope as a plain object with all its data, frozen through and through. */
export function completeEnvelope(envelope: Envelope): Envelope {
  const text = JobEnvelope.textOf(envelope);
  return text === undefined ? envelope : (deepFreeze(JSON.parse(text)) as Envelope);
}

/** The same envelope without its payload, for a far end that takes less than its size. */
export function truncateEnvelope(envelope: Envelope): Envelope {
  const complete = completeEnvelope(envelope);
  const payloadBytes = Buffer.byteLength(JSON.stringify(complete.data.payload) ?? 'null');
  const data = Object.freeze({ ...complete.data, payload: null, payloadBytes, truncated: true as const });
  return Object.freeze({ ...complete, data });
}

function deepFreeze(value: unknown): unknown {
  if (typeof value === 'object' && value !== null) {
    for (const key in value) deepFreeze((value as Record<string, unknown>)[key]);
    Object.freeze(value);
  }
  return value;
}
