import type { Clock } from '../clock.js';
import { type Envelope, EnvelopeWriter } from '../envelope.js';
import type { JobRecord, RecordBook } from '../jobs/record.js';
import type { Orphan } from '../store.js';
import { type OwnerAccount, readAccount, tellDeath } from './owner-account.js';

/** The report of an orphan. */
export interface Letter {
  readonly envelope: Envelope;
  /** Why its payload or checkpoint cannot be read by this process: its record is kept. */
  readonly withheld: string | undefined;
}

/** Writes the envelopes of the dead, in their names. */
export class Scribe {
  readonly #records: RecordBook;
  readonly #writers = new Map<string, { readonly writer: EnvelopeWriter; readonly account: OwnerAccount }>();
  readonly #now: number;

  constructor({ records, clock }: { readonly records: RecordBook; readonly clock: Clock }) {
    this.#records = records;
    this.#now = clock.wallTime();
  }

  /** @throws when the record cannot be read. */
  write({ instanceId, key, record, progress, owner }: Orphan): Letter {
    const job = this.#records.read(instanceId, key, record, progress);
    const { writer, account } = this.#writerFor(instanceId, owner);
    const detail = [tellDeath(account), job.withheld].filter((text) => text !== undefined).join('; ');
    const envelope = writer.write(job, {
      outcome: account.stopped ? 'interrupted' : 'lost',
      reason: account.stopped ?? 'lost',
      elapsedMs: this.#elapsedMs(job),
      time: new Date(this.#now).toISOString(),
      detail,
    });
    return { envelope, withheld: job.withheld };
  }

  /** The clocks of two machines may differ. */
  #elapsedMs({ startedAt }: JobRecord): number {
    return Math.max(0, Math.round(this.#now - Date.parse(startedAt)));
  }

  #writerFor(instanceId: string, owner: string) {
    let known = this.#writers.get(instanceId);
    if (known === undefined) {
      const account = readAccount(owner);
      const { service, host, pid } = account;
      // The record's texts are JSON already.
      const serialise = (text: unknown) => text as string;
      known = { account, writer: new EnvelopeWriter({ service, instanceId, host, pid, serialise }) };
      this.#writers.set(instanceId, known);
    }
    return known;
  }
}
