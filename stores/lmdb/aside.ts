import { partsOf } from '../../src/envelope.js';
import type { Database } from './data-file.js';
import { placeOf } from './keys.js';
import { readRecord } from './records.js';

/** What setting these jobs aside writes at most, in bytes: each record is written once more, as a text in a text. */
export function asideBytesOf(database: Database, envelopeIds: readonly string[]): number {
  let bytes = 0;
  for (const [instanceId, key] of envelopeIds.map(partsOf)) {
    for (const kind of ['job', 'progress'] as const)
      bytes += Buffer.byteLength(JSON.stringify(database.get(placeOf(kind, instanceId, key)) ?? ''));
  }
  return bytes;
}

/** Keeps a job where nobody claims it, for a person to look at. @param value its record, as it is in its place */
export function writeAside(database: Database, instanceId: string, key: string, value: string): void {
  const { record } = readRecord(placeOf('job', instanceId, key), value);
  const progress = database.get(placeOf('progress', instanceId, key));
  database.putSync(placeOf('aside', instanceId, key), JSON.stringify({ key, record, progress }));
}
