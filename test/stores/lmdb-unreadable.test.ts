import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lmdbStore } from '../../stores/lmdb.js';
import { ownerNamed, withDatabase } from './lmdb-rows.js';

const DEAD = ['bbbbbbbbbbbb', 'cccccccccccc'] as const;
const LONG = 'x'.repeat(1968);
let path: string;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'shutdown-bus-unreadable-'));
});

afterEach(() => rmSync(path, { recursive: true, force: true }));

/** Two dead instances with two jobs each, and these rows; what a survivor finds, and is warned of. */
async function claimBeside(rows: Record<string, string>) {
  withDatabase(path, (database) => {
    for (const id of DEAD) for (const key of ['a', 'b']) database.putSync(`job/${id}/${key}`, `${id} ${key}`);
    for (const [place, value] of Object.entries(rows)) database.putSync(place, value);
  });
  const warnings: string[] = [];
  const store = lmdbStore({ path });
  store.open?.(ownerNamed('aaaaaaaaaaaa', warnings));
  const found: string[] = [];
  for (let round = 0; round < 5; round += 1)
    found.push(...(await store.claimOrphans()).map(({ instanceId, key }) => `${instanceId}/${key}`));
  // And once more, now that it is known.
  store.heartbeat?.();
  await store.claimOrphans();
  await store.close();
  return { found: found.sort(), warnings };
}

const ALL = DEAD.flatMap((id) => ['a', 'b'].map((key) => `${id}/${key}`));

describe('a row that cannot be read', () => {
  it.each<[string, string, string]>([
    ['a job of nobody', 'job/abc', 'x'],
    ['a job of nobody, between two that can be read', `job/${DEAD[0]}!`, 'x'],
    ['a job with an empty name', `job/${DEAD[0]}/`, 'x'],
    ['a job whose name is no name', `job/${DEAD[0]}/~x`, 'x'],
    ['tries that are no number', `tries/${DEAD[0]}/a`, 'abc'],
    ['tries below zero', `tries/${DEAD[0]}/a`, '-1'],
    ['tries without an end', `tries/${DEAD[0]}/a`, 'Infinity'],
    ['a half of a try', `tries/${DEAD[0]}/a`, '0.5'],
    ['an owner without a life', `owner/${DEAD[0]}`, '{"life":null,"about":"{}"}'],
    ['an owner that is none', `owner/${DEAD[0]}`, 'null'],
    ['an owner that is torn', `owner/${DEAD[0]}`, '{"life":{"pid":1'],
    [
      'an owner whose process is a text',
      `owner/${DEAD[0]}`,
      '{"life":{"pid":"\\u0000","beatMs":1},"about":""}',
    ],
    [
      'an owner who says a number',
      `owner/${DEAD[0]}`,
      `{"life":{"pid":${2 ** 22 + 1},"beatMs":1},"about":5}`,
    ],
  ])('%s: is said once, and every job that can be read is claimed', async (_what, place, value) => {
    const { found, warnings } = await claimBeside({ [place]: value });
    expect(found).toEqual(ALL);
    expect(warnings).toEqual([
      `what is at ${JSON.stringify(place)} in the data cannot be read, and is passed over`,
    ]);
  });

  it('of an instance whose name is too long for LMDB: is said once, and the others are claimed', async () => {
    const { found, warnings } = await claimBeside({ [`job/${LONG}xxx/k`]: 'x' });
    expect(found).toEqual(ALL);
    expect(warnings).toEqual([
      expect.stringMatching(/^the jobs of the instance x+ cannot be read and stay: Key .* larg/),
    ]);
  });

  it('negative twin: a name that is just short enough is claimed like any other', async () => {
    const { found, warnings } = await claimBeside({ [`job/${LONG.slice(0, 1960)}/k`]: 'x' });
    expect([found.length, warnings]).toEqual([5, []]);
  });

  it('a record under a hash that is not its key’s has the hash for a name', async () => {
    const name = `~${'0'.repeat(64)}`;
    const { found } = await claimBeside({ [`job/${DEAD[0]}/${name}`]: '{"key":"k","record":"r"}' });
    expect(found).toContain(`${DEAD[0]}/${name}`);
  });
});
