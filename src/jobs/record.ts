import { envelopeIdOf } from '../envelope.js';
import { messageOf } from '../errors.js';
import type { JobHandle } from './job-handle.js';
import { missingKey, type Sealer } from './sealing.js';

/** What a survivor reads of a job. */
export interface JobRecord {
  readonly id: string;
  readonly key: string;
  readonly type: string;
  /** RFC 3339. */
  readonly startedAt: string;
  /** JSON text; `null` when it is withheld. */
  readonly payload: string;
  /** JSON text of the last checkpoint, `undefined` before the first. */
  readonly progress: string | undefined;
  /** Why payload or progress cannot be read. */
  readonly withheld?: string;
}

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/;

/** Writes jobs down for a store, and reads what others wrote. What is written is redacted, and sealed where there is a key. */
export class RecordBook {
  readonly #instanceId: string;
  readonly #serialise: (value: unknown) => string;
  readonly #sealer: Sealer | undefined;

  constructor(instanceId: string, serialise: (value: unknown) => string, sealer: Sealer | undefined) {
    this.#instanceId = instanceId;
    this.#serialise = serialise;
    this.#sealer = sealer;
  }

  record({ id, key, type, startedAt, payload }: JobHandle): string {
    const name = JSON.stringify(id);
    return `{"v":1,"id":${name},"type":${JSON.stringify(type)},"startedAt":"${startedAt}",${this.#value(key, payload)}}`;
  }

  progress({ key, progress }: JobHandle): string {
    return `{${this.#value(key, progress)}}`;
  }

  /** @throws when the record is none of ours, or torn. */
  read(instanceId: string, key: string, record: string, progress: string | undefined): JobRecord {
    const written = JSON.parse(record) as Partial<Record<string, unknown>>;
    const { v, id, type, startedAt } = written;
    const dated =
      typeof startedAt === 'string' && RFC_3339.test(startedAt) && Number.isFinite(Date.parse(startedAt));
    if (v !== 1 || typeof id !== 'string' || typeof type !== 'string' || !dated)
      throw new Error('it is no record of a job');
    const place = envelopeIdOf(instanceId, key);
    const withheld: string[] = [];
    const attempt = <T>(open: () => T, otherwise: T): T => {
      try {
        return open();
      } catch (error) {
        withheld.push(messageOf(error));
        return otherwise;
      }
    };
    const parts = {
      ...{ id, key, type, startedAt },
      payload: attempt(() => this.#open(record, written, place), 'null'),
      progress: attempt(
        () => (progress === undefined ? undefined : this.#open(progress, JSON.parse(progress), place)),
        undefined,
      ),
    };
    return withheld[0] === undefined ? parts : { ...parts, withheld: withheld[0] };
  }

  #value(key: string, value: unknown): string {
    const text = this.#serialise(value);
    if (this.#sealer === undefined) return `"value":${text}`;
    return `"sealed":"${this.#sealer.seal(text, envelopeIdOf(this.#instanceId, key))}"`;
  }

  #open(text: string, { sealed }: { sealed?: unknown }, place: string): string {
    if (typeof sealed !== 'string') return valueIn(text);
    if (this.#sealer === undefined) throw missingKey(sealed.slice(0, sealed.indexOf('.')));
    return this.#sealer.open(sealed, place);
  }
}

/** The value's own text: the last member, and quotes before it are never bare. */
function valueIn(text: string): string {
  const at = text.indexOf(VALUE);
  if (at < 0) throw new Error('it has no value');
  return text.slice(at + VALUE.length, -1);
}

const VALUE = '"value":';
