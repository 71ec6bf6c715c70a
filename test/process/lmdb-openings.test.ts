import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Child, type Ending, start } from './child.js';

const WRITING_MS = 4000;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-openings-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** One process puts and deletes jobs while two others open the same data again and again. */
async function writeWhileOthersOpen(how: 'store' | 'plain') {
  const writer = start('writes-jobs.js', { args: [how, folder, String(WRITING_MS)] });
  await writer.line('ready');
  let isOver = false;
  const endings: Ending[] = [];
  const openers = new Set<Child>();
  const lanes = [1, 2].map(async () => {
    do {
      const opener = start('opens-store.js', { args: [how, folder] });
      openers.add(opener);
      endings.push(await opener.ended);
      openers.delete(opener);
    } while (!isOver);
  });
  const { code, stdout, stderr } = await writer.ended;
  isOver = true;
  if (how === 'plain') for (const opener of openers) opener.kill('SIGTERM');
  await Promise.all(lanes);
  if (code !== 0) return { intact: false, count: 0, stderr, endings };
  const kept = JSON.parse(stdout) as string[];
  return { intact: keysNow().join() === kept.sort().join(), count: kept.length, stderr, endings };
}

/** The jobs that a survivor would find. */
function keysNow(): string[] {
  const database = open<string, string>({
    path: join(folder, 'jobs.mdb'),
    noSubdir: true,
    encoding: 'string',
    maxReaders: 512,
  });
  const keys = [...database.getKeys({ start: 'job/', end: 'job0' })].map(
    (place) => place.split('/')[2] ?? '',
  );
  void database.close();
  return keys.sort();
}

describe('what a process has put into the store', () => {
  it('is there, and nothing that it took out, whoever opens the same data meanwhile', async () => {
    const { intact, count, stderr, endings } = await writeWhileOthersOpen('store');
    expect(stderr).toBe('ready\n');
    expect(intact).toBe(true);
    expect(count).toBeGreaterThan(10);
    expect(endings.length, 'openings').toBeGreaterThan(10);
    for (const opener of endings) expect(opener).toMatchObject({ code: 0, stdout: '.', stderr: '' });
  });

  // When this fails, LMDB has been mended: stores/lmdb/gate.ts may go.
  it('negative twin: LMDB itself takes transactions back when another process opens the file', async () => {
    let intact = true;
    for (let rounds = 0; intact && rounds < 10; rounds += 1) {
      rmSync(folder, { recursive: true });
      folder = mkdtempSync(join(tmpdir(), 'shutdown-bus-openings-'));
      intact = (await writeWhileOthersOpen('plain')).intact;
    }
    expect(intact).toBe(false);
  });
});
